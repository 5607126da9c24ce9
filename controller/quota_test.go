package controller

import (
	"testing"
	"time"
)

func TestQuotaIsProbedByOneCreate(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	q := newQuotaGates()
	if pass, _ := q.pass("n", now); !pass {
		t.Fatal("the first create must pass")
	}
	q.answer("n", now, true, false)
	want := time.Second
	for range 10 {
		if pass, next := q.pass("n", now); pass || !next.Equal(now.Add(want)) {
			t.Fatalf("after a refusal: pass %v, next in %s, want in %s", pass, next.Sub(now), want)
		}
		now = now.Add(want)
		if pass, _ := q.pass("n", now); !pass {
			t.Fatalf("a probe after %s must pass", want)
		}
		if pass, _ := q.pass("n", now); pass {
			t.Fatal("two probes at once")
		}
		q.answer("n", now, true, false)
		want = min(2*want, time.Minute)
	}
	if pass, _ := q.pass("other", now); !pass {
		t.Error("another namespace is held back")
	}
	now = now.Add(want)
	q.pass("n", now)
	q.answer("n", now, false, true)
	if pass, _ := q.pass("n", now); !pass {
		t.Error("an accepted probe must open the namespace")
	}
}

func TestQuotaProbeThatSaysNothingOfTheQuotaIsRepeated(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	q := newQuotaGates()
	q.answer("n", now, true, false)
	now = now.Add(time.Second)
	q.pass("n", now)
	q.answer("n", now, false, false)
	if pass, next := q.pass("n", now); pass || !next.Equal(now.Add(time.Second)) {
		t.Errorf("pass %v, next in %s: want the same delay again", pass, next.Sub(now))
	}
}
