package answer

import (
	"time"

	"kontroler/store/accounts"
)

// APIToken is an API token without its secret. LastUsedAt is missing until it is used.
type APIToken struct {
	ID         int64            `json:"id"`
	Name       string           `json:"name"`
	Admin      bool             `json:"admin"`
	Grants     []accounts.Grant `json:"grants"`
	CreatedAt  time.Time        `json:"createdAt"`
	ExpiresAt  time.Time        `json:"expiresAt"`
	LastUsedAt *time.Time       `json:"lastUsedAt,omitempty"`
}

// OfAPIToken returns the view of a row.
func OfAPIToken(t accounts.Token) APIToken {
	view := APIToken{t.ID, t.Name, t.Access.Admin, OrEmpty(t.Access.Grants), t.CreatedAt, t.ExpiresAt, nil}
	if !t.SeenAt.IsZero() {
		view.LastUsedAt = &t.SeenAt
	}
	return view
}
