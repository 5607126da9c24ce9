package turns_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"kontroler/httpapi/turns"
)

func TestTake(t *testing.T) { synctest.Test(t, testTake) }

func testTake(t *testing.T) {
	all := turns.New()
	take := func(user int64) func() {
		t.Helper()
		release, err := all.Take(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	var releases []func()
	for range turns.AtATime {
		releases = append(releases, take(1))
	}
	take(2)() // Another user does not wait.
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := all.Take(gone, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a request that nobody waits for any more: %v", err)
	}
	waiting := turns.MaxRequests - turns.AtATime
	served := make(chan func(), waiting)
	for range waiting {
		go func() {
			release, err := all.Take(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			served <- release
		}()
	}
	synctest.Wait()
	if _, err := all.Take(t.Context(), 1); !errors.Is(err, turns.ErrTooMany) {
		t.Errorf("one request more: %v", err)
	}
	releases[0]()
	releases[0]() // A second call gives nothing back.
	for range waiting {
		(<-served)()
	}
	for _, release := range releases[1:] {
		release()
	}
	for range turns.MaxRequests {
		take(1)()
	}
}
