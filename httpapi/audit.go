package httpapi

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

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
	at, isFirst, limit, err := parsePosition[accounts.AuditPosition](values)
	if err != nil {
		return err
	}
	read := h.accounts.Audit.Before
	if at.Backward {
		read = h.accounts.Audit.After
	}
	entries, err := read(c.Context(), filter, at.Key, limit+1)
	if err != nil {
		return err
	}
	list, err := makePage(entries, at, isFirst, limit, func(e accounts.AuditEntry) accounts.AuditPosition {
		return accounts.AuditPosition{At: e.At, ID: e.ID}
	}, answer.OfAuditEntry)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list)
}

func parseAuditFilter(values url.Values) (accounts.AuditFilter, error) {
	filter := accounts.AuditFilter{User: values.Get("user"), Object: values.Get("object")}
	for _, text := range []string{filter.User, filter.Object} {
		if strings.ContainsRune(text, 0) || strings.ToValidUTF8(text, "") != text {
			return filter, fault(badRequest, "user and object must be valid UTF-8 without NUL.")
		}
	}
	for name, to := range map[string]*time.Time{"from": &filter.From, "to": &filter.To} {
		if text := values.Get(name); text != "" {
			t, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return filter, fault(badRequest, fmt.Sprintf("%s must be a time such as 2026-07-01T12:00:00Z.", name))
			}
			*to = t
		}
	}
	return filter, nil
}
