package answer

import (
	"time"

	"kontroler/store/accounts"
)

// Me is what callers see of themselves.
type Me struct {
	Name   string           `json:"name"`
	Admin  bool             `json:"admin"`
	Grants []accounts.Grant `json:"grants"`
}

// OfMe returns what the user of a name and with an access sees.
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

// Login is the answer to a login. Token is missing if a cookie has it.
type Login struct {
	Token     string    `json:"token,omitempty"`
	ExpiresAt time.Time `json:"expiresAt"`
	User      Me        `json:"user"`
}
