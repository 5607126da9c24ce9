package process_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/process"
)

// TestParseArgs: every malformed argument is a fault of its own, and ends the reading of no other.
func TestParseArgs(t *testing.T) {
	type config struct{}
	settings := []process.Setting[config]{{Flag: "name", Placeholder: "TEXT", Env: "NAME"}}
	for name, test := range map[string]struct {
		args       []string
		wantFaults []string
		want       process.Args
	}{
		"flags and operands in any order": {
			args: []string{"first", "--name=a", "second"},
			want: process.Args{Values: map[string]string{"name": "a"}, Operands: []string{"first", "second"}},
		},
		"arguments that are no flags": {
			args:       []string{"---x", "--name", "a", "-=5", "--=y", "---url=postgres://user:secret@host/db"},
			wantFaults: []string{"---x", "-", "--", "---url"},
			want:       process.Args{Values: map[string]string{"name": "a"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, faults := process.ParseArgs(settings, nil, test.args)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
			var texts []string
			if faults != nil {
				texts = strings.Split(strings.ReplaceAll(faults.Error(), "bad flag syntax: ", ""), "\n")
			}
			if diff := cmp.Diff(test.wantFaults, texts); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// TestUnexpected: an operand that may be a database URL is not quoted, because it may contain a password.
func TestUnexpected(t *testing.T) {
	for _, operand := range []string{"postgres://user:secret@host/db", "host=h password=secret"} {
		if text := process.Unexpected(operand).Error(); strings.Contains(text, "secret") {
			t.Error(text)
		}
	}
	if got, want := process.Unexpected("stray").Error(), `unexpected argument "stray"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
