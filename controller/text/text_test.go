package text

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestText: what is stored is valid, bounded and the same when it is read again.
func TestText(t *testing.T) {
	long := strings.Repeat("é", 600) // 1,200 bytes
	cases := map[string]struct{ in, want string }{
		"plain":                   {"exit", "exit"},
		"space around it":         {"\tno input\r\n", "no input"},
		"NUL":                     {"a\x00b\x00", "ab"},
		"not UTF-8":               {"a\xff\xfeb", "a\uFFFDb"},
		"too long, between runes": {long, strings.Repeat("é", 510) + "…"},
		"just fits":               {strings.Repeat("x", MaxBytes), strings.Repeat("x", MaxBytes)},
		"only NUL":                {"\x00", ""},
		"half a rune":             {"caf\xc3", "caf\uFFFD"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Clean(c.in)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(got) > MaxBytes || !utf8.ValidString(got) || Clean(got) != got {
				t.Errorf("%d bytes, valid %v, again %q", len(got), utf8.ValidString(got), Clean(got))
			}
		})
	}
}

// FuzzText holds the same for any bytes.
func FuzzText(f *testing.F) {
	f.Add("\x00\xff " + strings.Repeat("…", 400))
	f.Fuzz(func(t *testing.T, s string) {
		got := Clean(s)
		if len(got) > MaxBytes || !utf8.ValidString(got) || strings.ContainsRune(got, 0) || Clean(got) != got {
			t.Errorf("Clean(%q) = %q", s, got)
		}
	})
}
