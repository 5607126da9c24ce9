package answer

import (
	"time"

	"kontroler/store/accounts"
)

// User is a user without the password.
type User struct {
	Name              string           `json:"name"`
	Admin             bool             `json:"admin"`
	Grants            []accounts.Grant `json:"grants"`
	Disabled          bool             `json:"disabled"`
	Generation        int64            `json:"generation"`
	CreatedAt         time.Time        `json:"createdAt"`
	PasswordChangedAt time.Time        `json:"passwordChangedAt"`
}

// OfUser returns the view of a row.
func OfUser(u accounts.User) User {
	return User{u.Name, u.Admin, OrEmpty(u.Grants), u.Disabled, u.Generation, u.CreatedAt, u.PasswordChangedAt}
}
