package httpapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
)

// maxTokenLifetime is how long an API token may be valid.
const maxTokenLifetime = 366 * 24 * time.Hour

// tokenHandlers manage API tokens: users their own, administrators those of all users.
type tokenHandlers struct{ *base }

func (h tokenHandlers) listOwn(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	return h.listOf(w, c, c.principal.UserID)
}

func (h tokenHandlers) list(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	u, err := h.find(c.Context(), c.PathValue("name"))
	if err != nil {
		return err
	}
	return h.listOf(w, c, u.ID)
}

// listOf answers with all tokens of a user, of which there are few.
func (h tokenHandlers) listOf(w http.ResponseWriter, c *call, userID int64) error {
	tokens, err := h.accounts.Tokens.List(c.Context(), userID)
	if err != nil {
		return err
	}
	list := page[answer.APIToken]{Items: []answer.APIToken{}}
	for _, t := range tokens {
		list.Items = append(list.Items, answer.OfAPIToken(t))
	}
	return reply(w, http.StatusOK, list)
}

func (h tokenHandlers) create(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	body, err := decode[struct {
		Name      string           `json:"name"`
		ExpiresAt time.Time        `json:"expiresAt"`
		Admin     bool             `json:"admin"`
		Grants    []accounts.Grant `json:"grants"`
	}](c)
	if err != nil {
		return err
	}
	now := h.now().UTC().Truncate(time.Microsecond)
	faults := checkGrants(body.Grants)
	if n := utf8.RuneCountInString(body.Name); n < 1 || n > 63 || strings.ContainsFunc(body.Name, unicode.IsControl) {
		faults = append(faults, fieldError{Pointer: "/name", Detail: "a name has 1 to 63 characters"})
	}
	if len(body.Grants) == 0 && !body.Admin {
		faults = append(faults, fieldError{Pointer: "/grants", Detail: "without a grant the token allows nothing"})
	}
	if !body.ExpiresAt.After(now) || body.ExpiresAt.Sub(now) > maxTokenLifetime {
		faults = append(faults, fieldError{
			Pointer: "/expiresAt", Detail: "it must be in the future, and in 366 days at most",
		})
	}
	if len(faults) > 0 {
		return fault(invalid, "The API token is not valid.", faults...)
	}
	secret, hash := auth.NewToken()
	t := accounts.Token{
		Name: body.Name, Access: accounts.Access{Admin: body.Admin, Grants: body.Grants}, CreatedAt: now,
		ExpiresAt: body.ExpiresAt.UTC().Truncate(time.Microsecond),
	}
	err = h.audited(c, "token.create", tokenObject(c.principal.User, t.Name), func(ctx context.Context) (err error) {
		t.ID, err = h.accounts.Tokens.Create(ctx, c.principal.UserID, t, hash)
		return err
	})
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, struct {
		Token string `json:"token"`
		answer.APIToken
	}{secret, answer.OfAPIToken(t)})
}

func (h tokenHandlers) deleteOwn(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	return h.deleteOf(w, c, accounts.User{ID: c.principal.UserID, Name: c.principal.User})
}

func (h tokenHandlers) delete(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	u, err := h.find(c.Context(), c.PathValue("name"))
	if err != nil {
		return err
	}
	return h.deleteOf(w, c, u)
}

func (h tokenHandlers) deleteOf(w http.ResponseWriter, c *call, u accounts.User) error {
	tokens, err := h.accounts.Tokens.List(c.Context(), u.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(tokens, func(t accounts.Token) bool {
		return strconv.FormatInt(t.ID, 10) == c.PathValue("id")
	})
	if i < 0 {
		return accounts.ErrNotFound
	}
	err = h.audited(c, "token.delete", tokenObject(u.Name, tokens[i].Name), func(ctx context.Context) error {
		return h.accounts.Tokens.Delete(ctx, u.ID, tokens[i].ID)
	})
	if err != nil {
		return err
	}
	h.authenticator.ForgetAll()
	return reply(w, http.StatusNoContent, nil)
}

// tokenObject names an API token in the audit.
func tokenObject(userName, token string) string { return "users/" + userName + "/tokens/" + token }
