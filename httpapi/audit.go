package httpapi

import (
	"net/http"
	"net/url"

	"kontroler/httpapi/answer"
	"kontroler/store/accounts"
)

// auditHandlers show what users did.
type auditHandlers struct{ *base }

func (h auditHandlers) list(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor", "user", "object", "from", "to")
	if err != nil {
		return err
	}
	filter, err := parseAuditFilter(values)
	if err != nil {
		return err
	}
	key := func(e accounts.AuditEntry) accounts.AuditPosition { return accounts.AuditPosition{At: e.At, ID: e.ID} }
	return replyPage(w, values, key, answer.OfAuditEntry,
		func(at position[accounts.AuditPosition], limit int) ([]accounts.AuditEntry, error) {
			read := h.accounts.Audit.Before
			if at.Backward {
				read = h.accounts.Audit.After
			}
			return read(c.Context(), filter, at.Key, limit)
		})
}

// parseAuditFilter reads the parameters that filter the audit.
func parseAuditFilter(values url.Values) (filter accounts.AuditFilter, err error) {
	if filter.User, err = textOf(values, "user"); err != nil {
		return filter, err
	}
	if filter.Object, err = textOf(values, "object"); err != nil {
		return filter, err
	}
	if filter.From, err = timeOf(values, "from"); err != nil {
		return filter, err
	}
	filter.To, err = timeOf(values, "to")
	return filter, err
}
