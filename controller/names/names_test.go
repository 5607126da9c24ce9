package names

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/util/validation"
)

const runUID = "11111111-2222-3333-4444-555555555555"

// TestPodName pins names: they are never stored before a Pod has one, so a later version must derive the same.
func TestPodName(t *testing.T) {
	const uid = "01234567-89ab-cdef-0123-456789abcdef"
	cases := map[string]struct{ run, task, want string }{
		"plain":                 {"nightly-28934720", "extract", "nightly-28934720-extract-"},
		"dots":                  {"nightly.v1.2", "extract", "nightly-v1-2-extract-"},
		"rows of other letters": {"a.-_.b", "c--d", "a-b-c-d-"},
		"capitals":              {"Nightly", "Extract", "nightly-extract-"},
		"other letters outside": {".-a-.", "-b-", "a-b-"},
		"a long run":            {strings.Repeat("r", 253), "extract", strings.Repeat("r", 44) + "-extract-"},
		"a long task":           {"nightly", strings.Repeat("t", 63), "nightly-" + strings.Repeat("t", 44) + "-"},
		"both long": {
			strings.Repeat("r", 253),
			strings.Repeat("t", 63),
			strings.Repeat("r", 25) + "-" + strings.Repeat("t", 26) + "-",
		},
		"a cut that ends in '-'": {
			strings.Repeat("r", 24) + "-" + strings.Repeat("r", 24),
			strings.Repeat("t", 63),
			strings.Repeat("r", 24) + "-" + strings.Repeat("t", 27) + "-",
		},
		"no run":  {"", "extract", "extract-"},
		"no task": {"nightly", "...", "nightly-"},
		"neither": {"", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Pod("c1", uid, c.run, c.task, 0, 1)
			want := c.want + Hash("c1", uid, c.task, "0", "1")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkPodName(t, got)
		})
	}
	if diff := cmp.Diff("nightly-extract-k3lpnftun4", Pod("c1", uid, "nightly", "extract", 0, 1)); diff != "" {
		t.Errorf("names of running attempts change (-want +got):\n%s", diff)
	}
}

func checkPodName(t *testing.T, name string) {
	t.Helper()
	if faults := validation.IsDNS1123Label(name); len(faults) > 0 {
		t.Errorf("%q: %v", name, faults)
	}
	if len(name) > 63 || strings.Contains(name, "--") {
		t.Errorf("%q: %d bytes", name, len(name))
	}
}

// TestPodNameDiffers checks that a different value of any part gives a different name, except for the name of the run,
// which its UID covers.
func TestWorkspaceName(t *testing.T) {
	hash := Hash("c1", runUID, "workspace")
	for run, want := range map[string]string{
		"nightly-1": "nightly-1-" + hash, "nightly.v1": "nightly-v1-" + hash, "...": hash,
		strings.Repeat("r", 253): strings.Repeat("r", 52) + "-" + hash,
	} {
		got := Workspace("c1", runUID, run)
		if got != want {
			t.Errorf("%q: %q, want %q", run, got, want)
		}
		checkPodName(t, got)
	}
	if Workspace("c2", runUID, "r") == Workspace("c1", runUID, "r") {
		t.Error("two controllers derive one name")
	}
}

func TestPodNameDiffers(t *testing.T) {
	type parts struct {
		controller, uid, task string
		index, attempt        int
	}
	all := []parts{
		{"c", "u", "t", 0, 1}, {"d", "u", "t", 0, 1}, {"c", "v", "t", 0, 1}, {"c", "u", "s", 0, 1},
		{"c", "u", "t", 1, 1}, {"c", "u", "t", 0, 2}, {"cu", "", "t", 0, 1}, {"", "cu", "t", 0, 1},
		{"c", "ut", "", 0, 1}, {"c", "", "ut", 0, 1}, {"c", "u", "t0", 0, 1}, {"c", "u", "t", 11, 1},
		{"c", "u", "t", 1, 11}, {"c", "u", "t", 0, 11}, {"1:c", "u", "t", 0, 1},
		{"c", "1:u", "t", 0, 1}, {"c1:u", "", "t", 0, 1},
	}
	seen := map[string]parts{}
	for _, p := range all {
		name := Pod(p.controller, p.uid, "run", p.task, p.index, p.attempt)
		hash := name[len(name)-hashChars:]
		if other, taken := seen[hash]; taken {
			t.Errorf("%v and %v have the same hash", p, other)
		}
		seen[hash] = p
		if again := Pod(p.controller, p.uid, "run", p.task, p.index, p.attempt); again != name {
			t.Errorf("%v: %q, then %q", p, name, again)
		}
	}
}

// TestPodNameAnyInput: a DNS label, whatever the names are.
func TestPodNameAnyInput(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	letters := []rune("aZ09-._/ é\x00\xff")
	word := func(limit int) string {
		b := make([]rune, random.IntN(limit))
		for i := range b {
			b[i] = letters[random.IntN(len(letters))]
		}
		return string(b)
	}
	for range 20_000 {
		checkPodName(t, Pod(word(40), word(40), word(253), word(80), random.IntN(10_000), random.IntN(1000)))
	}
}

func TestIsDerived(t *testing.T) {
	for name, tt := range map[string]struct {
		name string
		want bool
	}{
		"a name that Pod derived": {Pod("c", "u", "run", "task", 0, 1), true},
		"a derived name that was cut": {
			Pod("c", "u", strings.Repeat("r", 80), strings.Repeat("t", 80), 3, 12), true,
		},
		"the name of a Deployment's Pod":     {"web-7d4b9c5f68-x2x4z", false},
		"the name of a Job's Pod":            {"job-x2x4z", false},
		"a hash without a prefix":            {"abcdefghij", false},
		"an empty name":                      {"", false},
		"a suffix in capitals":               {"a-ABCDEFGHIJ", false},
		"a suffix with a 1, no base32 digit": {"a-abcdefghi1", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsDerived(tt.name); got != tt.want {
				t.Errorf("IsDerived(%q) = %t, want %t", tt.name, got, tt.want)
			}
		})
	}
}
