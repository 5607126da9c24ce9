package queue

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// An urgent key waits for one normal key at most, and normal keys do not starve.
func TestPriority(t *testing.T) {
	type lists = []string
	tests := map[string]struct {
		push, touch, want lists
	}{
		"urgent and normal keys take turns": {
			push: lists{"a", "b", "c", "P", "Q", "R", "S"},
			want: lists{"P", "a", "Q", "b", "R", "c", "S"},
		},
		"only normal keys": {push: lists{"a", "b", "c"}, want: lists{"a", "b", "c"}},
		"only urgent keys": {push: lists{"P", "Q"}, want: lists{"P", "Q"}},
		"a key becomes urgent, touched twice": {
			push:  lists{"a", "b", "c", "d"},
			touch: lists{"c", "c"},
			want:  lists{"c", "a", "b", "d"},
		},
		"all keys become urgent": {push: lists{"a", "b"}, touch: lists{"b", "a"}, want: lists{"b", "a"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			urgent := map[string]bool{"P": true, "Q": true, "R": true, "S": true}
			l := NewPriority(func(key string) bool { return urgent[key] })
			for _, key := range test.push {
				l.Push(key)
			}
			for _, key := range test.touch {
				urgent[key] = true
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

// A key that was promoted, popped and pushed again is queued once.
func TestPriorityOfAKeyThatReturns(t *testing.T) {
	urgent := map[string]bool{}
	l := NewPriority(func(key string) bool { return urgent[key] })
	l.Push("a")
	l.Push("b")
	urgent["b"] = true
	l.Touch("b")
	got := []string{l.Pop()}
	urgent["b"] = false
	l.Push("b")
	l.Touch("gone")
	for l.Len() > 0 {
		got = append(got, l.Pop())
	}
	if diff := gocmp.Diff([]string{"b", "a", "b"}, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
