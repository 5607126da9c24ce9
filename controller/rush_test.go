package controller

import (
	"testing"
	"time"
)

// A rush makes way for at most a minute. Moments of calm are part of it; after ten seconds of calm another rush begins.
func TestRush(t *testing.T) {
	var r rush
	begin := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return begin.Add(time.Duration(seconds) * time.Second) }
	for seconds := range 150 {
		is := seconds >= 1 && seconds < 120 && seconds%7 != 0 || seconds >= 135
		want := is && (seconds <= 60 || seconds >= 135)
		if got := r.on(is, at(seconds)); got != want {
			t.Errorf("after %d seconds: %t, want %t", seconds, got, want)
		}
	}
}
