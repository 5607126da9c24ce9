package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"kontroler/store/accounts"
)

// FuzzDecode looks for a body that decode accepts but encoding/json does not, or that it refuses with a status other
// than that of a mistake of the client.
func FuzzDecode(f *testing.F) {
	type wire struct {
		Name   string           `json:"name"`
		Admin  bool             `json:"admin"`
		Grants []accounts.Grant `json:"grants"`
	}
	for _, seed := range []string{
		`{"name": "a", "grants": [{"namespace": "*", "role": "viewer"}]}`, `{"name": "a", "name": "b"}`, `null`, `[]`,
		`{`, `{"grants": [[]]}`, `{"Name": 1}`, `"\ud800"`, `1e999`, `{} {}`, strings.Repeat("[", 100),
		`{"grants": [null]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		got, err := decode[wire](&call{Request: r})
		if err != nil {
			p, ok := errors.AsType[*problem](err)
			if !ok || p.status < 400 || p.status >= 500 {
				t.Errorf("body %q: %v", body, err)
			}
			return
		}
		var want wire
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&want); err != nil || want.Name != got.Name || len(want.Grants) != len(got.Grants) {
			t.Errorf("body %q: decoded %+v, encoding/json has %+v, %v", body, got, want, err)
		}
	})
}
