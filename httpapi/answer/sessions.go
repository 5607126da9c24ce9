package answer

import (
	"time"

	"kontroler/store/accounts"
)

// Me describes the caller.
type Me struct {
	Name   string           `json:"name"`
	Admin  bool             `json:"admin"`
	Grants []accounts.Grant `json:"grants"`
}

// OfMe describes the user with a name and an access.
func OfMe(name string, access accounts.Access) Me {
	return Me{Name: name, Admin: access.Admin, Grants: OrEmpty(access.Grants)}
}

// OrEmpty returns a list that is encoded as [], not as null.
func OrEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Login is the response to a login. Token is missing if the token is in a cookie.
type Login struct {
	Token     string    `json:"token,omitempty"`
	ExpiresAt time.Time `json:"expiresAt"`
	User      Me        `json:"user"`
}
