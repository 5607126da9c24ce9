package answer

import (
	"time"

	"kontroler/store/accounts"
)

// AuditEntry is an entry of the audit. Outcome and EndedAt are missing while the action is under way.
type AuditEntry struct {
	ID        int64      `json:"id"`
	At        time.Time  `json:"at"`
	RequestID string     `json:"requestId"`
	User      string     `json:"user"`
	UserID    int64      `json:"userId,omitempty"`
	TokenID   int64      `json:"tokenId,omitempty"`
	Address   string     `json:"address"`
	Action    string     `json:"action"`
	Object    string     `json:"object"`
	Outcome   string     `json:"outcome,omitempty"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
}

// OfAuditEntry returns the view of a row.
func OfAuditEntry(e accounts.AuditEntry) AuditEntry {
	view := AuditEntry{
		e.ID, e.At, e.RequestID, e.User, e.UserID, e.TokenID, e.Address, e.Action, e.Object, e.Outcome, nil,
	}
	if !e.EndedAt.IsZero() {
		view.EndedAt = &e.EndedAt
	}
	return view
}
