package controller

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// A key that presses waits for one other key at most, however many there are; these are not kept waiting for ever.
func TestLanes(t *testing.T) {
	type lists = []string
	tests := map[string]struct {
		push, press, want lists
	}{
		"in turn":       {push: lists{"a", "b", "c", "P", "Q", "R", "S"}, want: lists{"P", "a", "Q", "b", "R", "c", "S"}},
		"none presses":  {push: lists{"a", "b", "c"}, want: lists{"a", "b", "c"}},
		"all press":     {push: lists{"P", "Q"}, want: lists{"P", "Q"}},
		"pressed later": {push: lists{"a", "b", "c", "d"}, press: lists{"c", "c"}, want: lists{"c", "a", "b", "d"}},
		"pressed, all":  {push: lists{"a", "b"}, press: lists{"b", "a"}, want: lists{"b", "a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			pressing := map[string]bool{"P": true, "Q": true, "R": true, "S": true}
			l := newLanes(func(key string) bool { return pressing[key] })
			for _, key := range test.push {
				l.Push(key)
			}
			for _, key := range test.press {
				pressing[key] = true
				l.Touch(key)
			}
			var got lists
			for l.Len() > 0 {
				got = append(got, l.Pop())
			}
			if diff := gocmp.Diff(test.want, got); diff != "" {
				t.Errorf("order (-want +got):\n%s", diff)
			}
		})
	}
}

// A key that was moved, taken and added again is there once.
func TestLanesMovedAndAgain(t *testing.T) {
	pressing := map[string]bool{}
	l := newLanes(func(key string) bool { return pressing[key] })
	l.Push("a")
	l.Push("b")
	pressing["b"] = true
	l.Touch("b")
	got := []string{l.Pop()}
	pressing["b"] = false
	l.Push("b")
	l.Touch("gone")
	for l.Len() > 0 {
		got = append(got, l.Pop())
	}
	if diff := gocmp.Diff([]string{"b", "a", "b"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
