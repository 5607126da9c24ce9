package webhook_test

import (
	"testing"
	"time"

	"kontroler/controller/webhook"

	"github.com/google/go-cmp/cmp"
)

// The value is what `printf '%s.%s' 1700000000 '{"a":1}' | openssl dgst -sha256 -hmac key` prints.
func TestSign(t *testing.T) {
	const want = "sha256=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03"
	if got := webhook.Sign([]byte("key"), 1700000000, []byte(`{"a":1}`)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestID(t *testing.T) {
	seen := map[string]string{}
	for name, id := range map[string]string{
		"a task":             webhook.ID("c", "u", "TaskFailed", "a", 0),
		"of another index":   webhook.ID("c", "u", "TaskFailed", "a", 1),
		"of another name":    webhook.ID("c", "u", "TaskFailed", "b", 0),
		"of another event":   webhook.ID("c", "u", "TaskSucceeded", "a", 0),
		"another run":        webhook.ID("c", "v", "TaskFailed", "a", 0),
		"another controller": webhook.ID("d", "u", "TaskFailed", "a", 0),
	} {
		if other, there := seen[id]; there || len(id) != 32 {
			t.Errorf("%s has the id %s, as %s has", name, id, other)
		}
		seen[id] = name
	}
}

// The tries of a notification whose every try fails at once, and of one whose turn came late.
func TestRetry(t *testing.T) {
	t0 := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tries := func(now time.Time) (seconds []int) {
		for try := 1; ; try++ {
			seconds = append(seconds, int(now.Sub(t0).Seconds()))
			if now = webhook.Retry(t0, now, try); now.IsZero() {
				return seconds
			}
		}
	}
	day := []int{0, 2, 6, 14, 30, 62, 126, 254, 510, 1022, 2046, 4094, 8190, 16382, 32766, 65534, 86400}
	if diff := cmp.Diff(day, tries(t0)); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{90000, 90002, 90006, 90014, 90030}, tries(t0.Add(25*time.Hour))); diff != "" {
		t.Errorf("tries of a late one (-want +got):\n%s", diff)
	}
}
