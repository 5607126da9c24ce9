package completer_test

import (
	"strings"
	"testing"

	"kontroler/e2e/completer"
)

func TestScripts(t *testing.T) {
	for script, want := range map[string]string{
		"":                                  "",
		"sleep 0.5; await go\nexit 3":       "",
		"once a exit 3; once b sleep 1000":  "",
		"hold x; fail-if y; say hello; :":   "",
		"pend ImagePullBackOff":             "",
		"echo hello":                        `step "echo hello": unknown word "echo"`,
		"sleep":                             "sleep needs an argument",
		"sleep long":                        "not a number of seconds",
		"exit often":                        "not an exit code",
		"once a":                            "once needs a word and a step",
		"await go; once a once b walk away": `unknown word "walk"`,
	} {
		err := completer.Check(script)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", script, err, want)
		}
	}
}
