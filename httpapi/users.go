package httpapi

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
)

// maxGrants is how many grants a user or an API token may have.
const maxGrants = 200

// userHandlers manage users.
type userHandlers struct{ *base }

func (h userHandlers) list(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	name := func(u accounts.User) string { return u.Name }
	return replyPage(w, values, name, answer.OfUser, func(at position[string], limit int) ([]accounts.User, error) {
		read := h.accounts.Users.After
		if at.Backward {
			read = h.accounts.Users.Before
		}
		return read(c.Context(), at.Key, limit)
	})
}

func (h userHandlers) read(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	return h.replyUser(w, c, http.StatusOK, c.PathValue("name"))
}

// replyUser answers with a user as it is now.
func (h userHandlers) replyUser(w http.ResponseWriter, c *call, status int, name string) error {
	u, err := h.find(c.Context(), name)
	if err != nil {
		return err
	}
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(u.Generation, 10)))
	return reply(w, status, answer.OfUser(u))
}

// find returns a user. An invalid name is not found.
func (b *base) find(ctx context.Context, name string) (accounts.User, error) {
	if !auth.IsUserName(name) {
		return accounts.User{}, accounts.ErrNotFound
	}
	return b.accounts.Users.Get(ctx, name)
}

func (h userHandlers) create(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	body, err := decode[struct {
		Name     string           `json:"name"`
		Password string           `json:"password"`
		Admin    bool             `json:"admin"`
		Grants   []accounts.Grant `json:"grants"`
	}](c)
	if err != nil {
		return err
	}
	faults := checkGrants(body.Grants)
	if !auth.IsUserName(body.Name) {
		faults = append(faults, fieldError{
			Pointer: "/name", Detail: "a name has 1 to 63 lower-case letters, digits, dots, hyphens, " +
				"underscores and @, and begins and ends with a letter or digit",
		})
	}
	if err := auth.CheckPassword(body.Name, body.Password); err != nil {
		faults = append(faults, fieldError{Pointer: "/password", Detail: err.Error()})
	}
	if len(faults) > 0 {
		return fault(invalid, "The user is not valid.", faults...)
	}
	err = h.audited(c, "user.create", "users/"+body.Name, func(ctx context.Context) error {
		hash, err := h.hasher.Hash(ctx, auth.Network(c.from.Address), body.Password)
		if err != nil {
			return err
		}
		access := accounts.Access{Admin: body.Admin, Grants: body.Grants}
		return h.accounts.Users.Create(ctx, body.Name, access, hash, h.now())
	})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/v1/users/"+body.Name)
	return h.replyUser(w, c, http.StatusCreated, body.Name)
}

func (h userHandlers) update(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	generation, err := ifMatch(c)
	if err != nil {
		return err
	}
	body, err := decode[struct {
		Admin    bool             `json:"admin"`
		Grants   []accounts.Grant `json:"grants"`
		Disabled bool             `json:"disabled"`
	}](c)
	if err != nil {
		return err
	}
	if faults := checkGrants(body.Grants); len(faults) > 0 {
		return fault(invalid, "The user is not valid.", faults...)
	}
	u, err := h.find(c.Context(), c.PathValue("name"))
	if err != nil {
		return err
	}
	err = h.audited(c, "user.update", "users/"+u.Name, func(ctx context.Context) error {
		access := accounts.Access{Admin: body.Admin, Grants: body.Grants}
		return h.accounts.Users.Update(ctx, u.Name, generation, access, body.Disabled)
	})
	if err != nil {
		return err
	}
	h.authenticator.ForgetAll()
	return h.replyUser(w, c, http.StatusOK, u.Name)
}

func (h userHandlers) delete(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	u, err := h.find(c.Context(), c.PathValue("name"))
	if err != nil {
		return err
	}
	err = h.audited(c, "user.delete", "users/"+u.Name, func(ctx context.Context) error {
		return h.accounts.Users.Delete(ctx, u.Name)
	})
	if err != nil {
		return err
	}
	h.authenticator.ForgetAll()
	return reply(w, http.StatusNoContent, nil)
}

func (h userHandlers) setPassword(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	body, err := decode[struct {
		Password string `json:"password"`
	}](c)
	if err != nil {
		return err
	}
	u, err := h.find(c.Context(), c.PathValue("name"))
	if err != nil {
		return err
	}
	if err := auth.CheckPassword(u.Name, body.Password); err != nil {
		return fault(invalid, "The password is refused.", fieldError{Pointer: "/password", Detail: err.Error()})
	}
	err = h.audited(c, "user.password", "users/"+u.Name, func(ctx context.Context) error {
		hash, err := h.hasher.Hash(ctx, auth.Network(c.from.Address), body.Password)
		if err != nil {
			return err
		}
		return h.accounts.Users.SetPassword(ctx, u.ID, hash, "", h.now())
	})
	if err != nil {
		return err
	}
	h.authenticator.ForgetAll()
	return reply(w, http.StatusNoContent, nil)
}

// checkGrants returns the faults of grants.
func checkGrants(grants []accounts.Grant) (faults []fieldError) {
	if len(grants) > maxGrants {
		return []fieldError{{Pointer: "/grants", Detail: fmt.Sprintf("there are more than %d grants", maxGrants)}}
	}
	seen := map[string]bool{}
	for i, grant := range grants {
		at := fmt.Sprintf("/grants/%d", i)
		switch {
		case grant.Namespace != auth.AllNamespaces && len(validation.IsDNS1123Label(grant.Namespace)) > 0:
			faults = append(faults, fieldError{
				Pointer: at + "/namespace", Detail: "it is neither the name of a namespace nor *",
			})
		case seen[grant.Namespace]:
			faults = append(faults, fieldError{
				Pointer: at + "/namespace", Detail: "another grant is for the same namespace",
			})
		}
		seen[grant.Namespace] = true
		if _, err := auth.ParseRole(grant.Role); err != nil {
			faults = append(faults, fieldError{Pointer: at + "/role", Detail: err.Error()})
		}
	}
	return faults
}

// ifMatch returns the generation in the header If-Match.
func ifMatch(c *call) (int64, error) {
	text := c.Header.Get("If-Match")
	if text == "" {
		return 0, fault(preconditionRequired, "Read the object, and send its generation in the header If-Match.")
	}
	generation, err := parseNumber(strings.Trim(text, `"`), int64(math.MaxInt64))
	if err != nil {
		return 0, fault(badRequest, "The header If-Match must be the generation of the object.")
	}
	return generation, nil
}
