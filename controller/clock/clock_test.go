package clock

import (
	"testing"
	"time"
)

func TestClockIsTheDatabases(t *testing.T) {
	c := New()
	local, ahead := c.read, 10*time.Minute
	is := func(what string, local, want time.Time) {
		t.Helper()
		if got := c.at(local); !got.Equal(want.Truncate(time.Microsecond)) {
			t.Errorf("%s: the time is off by %s", what, got.Sub(want))
		}
	}
	is("not yet set", local, local)
	c.Set(local, local.Add(40*time.Millisecond), local.Add(ahead))
	is("set half way between question and answer", local.Add(20*time.Millisecond), local.Add(ahead))
	is("a minute later", local.Add(time.Minute), local.Add(ahead).Add(time.Minute-20*time.Millisecond))
	later := local.Add(time.Hour)
	c.Set(later, later, later.Add(ahead).Add(500*time.Millisecond))
	is("half a second is the way of the answer", later, later.Add(ahead-20*time.Millisecond))
	c.Set(later, later, later.Add(-ahead))
	is("the database has moved", later, later.Add(-ahead))
}
