package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/auth"
	"kontroler/store/accounts"
)

// sessionHandlers log users in and out.
type sessionHandlers struct{ *base }

type loginBody struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// Cookie asks for a cookie instead of a token, for browsers.
	Cookie bool `json:"cookie"`
}

func (h sessionHandlers) login(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	body, err := readLogin(c)
	if err != nil {
		return err
	}
	record := func(u accounts.User, keep bool, action func(context.Context) error) error {
		who := accounts.AuditEntry{UserID: u.ID, User: u.Name}
		return h.auditedFor(c, who, "auth.login", "users/"+u.Name, keep, action)
	}
	token, s, err := h.logins.Login(c.Context(), body.User, body.Password, c.from, record)
	h.metrics.Login(err)
	if err != nil {
		return err
	}
	view := answer.Login{ExpiresAt: s.ExpiresAt, User: answer.OfMe(s.User.Name, s.User.Access)}
	if body.Cookie {
		h.authenticator.SetCookie(w, c.Request, c.isHTTPS, token, s.ExpiresAt)
	} else {
		view.Token = token
	}
	return reply(w, http.StatusOK, view)
}

// readLogin reads user and password from the body or, if it has none, from the header Authorization, as Basic. If the
// body has both, the header belongs to a proxy.
func readLogin(c *call) (body loginBody, err error) {
	name, password, isBasic := c.BasicAuth()
	isForeign := c.Header.Get("Authorization") != "" && !isBasic
	if auth.HasToken(c.Request) || isForeign && c.ContentLength == 0 {
		return body, fault(badRequest, "A login takes user and password, in the body or in the header as Basic.")
	}
	if !isBasic || c.ContentLength != 0 {
		if body, err = decode[loginBody](c); err != nil {
			return body, err
		}
	}
	if isBasic && (body.User == "" || body.Password == "") {
		if body.User != "" || body.Password != "" {
			return body, fault(badRequest, "User and password are partly in the header and partly in the body.")
		}
		body.User, body.Password = name, password
	}
	if body.User == "" || body.Password == "" {
		return body, fault(badRequest, "A login needs user and password.")
	}
	return body, nil
}

func (h sessionHandlers) logout(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	err := h.audited(c, "auth.logout", "users/"+c.principal.User, func(ctx context.Context) error {
		return h.authenticator.End(ctx, c.principal)
	})
	if err != nil {
		return err
	}
	h.authenticator.ClearCookies(w, c.Request, c.isHTTPS)
	return reply(w, http.StatusNoContent, nil)
}

func (h sessionHandlers) me(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	return reply(w, http.StatusOK, struct {
		User      answer.Me `json:"user"`
		ExpiresAt time.Time `json:"expiresAt"`
		// TokenID is the id of the API token that the caller uses.
		TokenID int64 `json:"tokenId,omitempty"`
	}{answer.OfMe(c.principal.User, c.principal.Access), c.principal.ExpiresAt, c.principal.TokenID})
}

func (h sessionHandlers) changePassword(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	body, err := decode[struct {
		CurrentPassword string `json:"currentPassword"`
		NewPassword     string `json:"newPassword"`
	}](c)
	if err != nil {
		return err
	}
	if err := auth.CheckPassword(c.principal.User, body.NewPassword); err != nil {
		return fault(invalid, "The new password is refused.", fieldError{Pointer: "/newPassword", Detail: err.Error()})
	}
	record := func(u accounts.User, _ bool, action func(context.Context) error) error {
		return h.audited(c, "auth.password", "users/"+u.Name, func(ctx context.Context) error {
			err := action(ctx)
			if errors.Is(err, auth.ErrUnauthenticated) {
				wrong := fieldError{Pointer: "/currentPassword", Detail: "it is wrong"}
				err = errors.Join(fault(invalid, "The current password is wrong.", wrong), err)
			}
			return err
		})
	}
	err = h.logins.ChangePassword(c.Context(), c.principal, body.CurrentPassword, body.NewPassword, c.from, record)
	if err != nil {
		return err
	}
	return reply(w, http.StatusNoContent, nil)
}
