package strict_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/httpapi/strict"
)

type inner struct {
	Count int32   `json:"count"`
	Rate  float64 `json:"rate"`
}

type outer struct {
	inner
	Name    string            `json:"name"`
	On      *bool             `json:"on"`
	List    []inner           `json:"list"`
	Labels  map[string]string `json:"labels"`
	At      time.Time         `json:"at"`
	Any     any               `json:"any"`
	Raw     json.RawMessage   `json:"raw"`
	Secret  []byte            `json:"secret"`
	Small   uint8             `json:"small"`
	Dropped string            `json:"-"`
}

func TestCheck(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
		err  string
	}{
		"all fields": {text: `{"count": 1, "rate": 1.5, "name": "a", "on": true, "list": [{"count": -1}, {}],
			"labels": {"a": "b"}, "at": "2026-01-01T00:00:00Z", "any": {"x": [1, "2", null, true]}, "raw": [{}],
			"secret": "aGk=", "small": 255}`},
		"null":        {text: `{"count": null, "list": null, "at": null, "labels": {"a": null}}`},
		"free values": {text: `{"any": 0, "raw": "x"}`},
		"unknown and in capitals": {
			text: `{"Name": "a", "Dropped": "b", "-": "c", "inner": {}}`,
			want: []string{"/Name", "/Dropped", "/-", "/inner"},
		},
		"twice": {
			text: `{"name": "a", "name": "b", "list": [{"count": 1, "count": 2}]}`,
			want: []string{"/name", "/list/0/count"},
		},
		"twice in a map": {
			text: `{"labels": {"a/b~": "1", "a/b~": "2"}, "any": {"x": 1, "x": 2}}`,
			want: []string{"/labels/a~1b~0", "/any/x"},
		},
		"wrong kinds": {
			text: `{"name": 1, "count": "1", "on": 1, "list": {}, "labels": [], "any": 1, "rate": true}`,
			want: []string{"/name", "/count", "/on", "/list", "/labels", "/rate"},
		},
		"wrong kinds inside": {
			text: `{"list": [1, {"count": []}], "labels": {"a": 1}}`,
			want: []string{"/list/0", "/list/1/count", "/labels/a"},
		},
		"numbers": {
			text: `{"count": 3000000000, "list": [{"count": 1.5}, {"count": 1e2}, {"rate": 1e999}], "small": -1}`,
			want: []string{"/count", "/list/0/count", "/list/1/count", "/list/2/rate", "/small"},
		},
		"a text that a type refuses":   {text: `{"at": "noon"}`, want: []string{"/at"}},
		"a number that a type refuses": {text: `{"at": 1}`, want: []string{"/at"}},
		"another value":                {text: `[]`, want: []string{""}},
		"nothing":                      {text: ``, err: "it ends too early"},
		"half":                         {text: `{"name": `, err: "it ends too early"},
		"two values":                   {text: `{} {}`, err: "something follows it"},
		"deep":                         {text: strings.Repeat(`{"any":`, 40), err: "nested deeper than 32"},
		"no JSON":                      {text: `{name: 1}`, err: "invalid character"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			faults, err := strict.Check([]byte(test.text), reflect.TypeFor[outer](), 32)
			var got []string
			for _, f := range faults {
				got = append(got, f.Pointer)
			}
			if diff := cmp.Diff(test.want, got); diff != "" || (err != nil) != (test.err != "") ||
				err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("error %v, faults (-want +got):\n%s", err, diff)
			}
		})
	}
}

// TestLongNames checks that a long name with many fields below it takes linear work, and is not repeated in each fault.
func TestLongNames(t *testing.T) {
	var fields []string
	for i := range 20_000 {
		fields = append(fields, fmt.Sprintf(`"%d":1`, i))
	}
	text := []byte(`{"` + strings.Repeat("a", 200_000) + `":{` + strings.Join(fields, ",") + `},"labels":{"` +
		strings.Repeat("b", 200_000) + `":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}}`)
	var faults []strict.Fault
	bytes := testing.Benchmark(func(b *testing.B) {
		for range b.N {
			var err error
			if faults, err = strict.Check(text, reflect.TypeFor[outer](), 100); err != nil {
				b.Fatal(err)
			}
		}
	}).AllocedBytesPerOp()
	if limit := 100 * int64(len(text)); bytes > limit {
		t.Errorf("checking %d bytes allocated %d, more than %d", len(text), bytes, limit)
	}
	if len(faults) != 2 || faults[0].Pointer != "/…" || faults[1].Pointer != "/labels/…" {
		t.Errorf("got %.200v, want a fault at each long name", faults)
	}
}

func TestManyFaults(t *testing.T) {
	faults, err := strict.Check([]byte("["+strings.Repeat("1,", 10000)+"1]"), reflect.TypeFor[[]string](), 32)
	if err != nil || len(faults) != strict.MaxFaults {
		t.Errorf("%d faults, %v", len(faults), err)
	}
}

// FuzzCheck looks for a text without faults that encoding/json does not decode, or decodes only without its strictness.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{
		`{"count": 1, "any": {"x": [1]}}`, `{"at": "2026-01-01T00:00:00Z"}`, `{"secret": "aGk="}`, `{"any": 0}`, `null`,
		`{`, `1e999`, `{"small": 256}`, `{"raw": {"a": 1, "a": 2}}`, `{"secret": "!"}`, `{"rate": 1e400}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		faults, err := strict.Check(text, reflect.TypeFor[outer](), 32)
		if err != nil || len(faults) > 0 {
			return
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.DisallowUnknownFields()
		var value outer
		if err := decoder.Decode(&value); err != nil {
			t.Errorf("%q: %s", text, fmt.Sprint(err))
		}
	})
}
