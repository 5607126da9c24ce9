package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/kontroler/v1alpha1"
)

// tasks parses tasks with their parents: "a; b: a; c: a b".
func tasks(text string) []v1alpha1.Task {
	var all []v1alpha1.Task
	for one := range strings.SplitSeq(text, ";") {
		name, parents, _ := strings.Cut(one, ":")
		all = append(all, v1alpha1.Task{Name: strings.TrimSpace(name), RunAfter: strings.Fields(parents)})
	}
	return all
}

func text(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString("\n" + l.String())
	}
	return b.String()
}

func TestPicture(t *testing.T) {
	tests := map[string]struct {
		dag   string
		width int
		want  string
	}{
		"one task": {dag: "a", want: `
  ● a
  1.0s`},
		"chain": {dag: "first; second: first", want: `
  ● first
   1.0s
     │
  ● second
    1.0s`},
		"diamond": {dag: "top; left: top; right: top; bottom: left right", want: `
          ● top
          1.0s
       ┌────┴───┐
     ● left  ● right
      1.0s    1.0s
       └───┬────┘
        ● bottom
          1.0s`},
		"fan": {dag: "in; w1: in; w2: in; w3: in; w4: in; out: w1 w2 w3 w4", want: `
           ● in
           1.0s
   ┌─────┬──┴──┬─────┐
  ● w1  ● w2  ● w3  ● w4
  1.0s  1.0s  1.0s  1.0s
   └─────┴──┬──┴─────┘
          ● out
          1.0s`},
		"two roots": {dag: "extract; rates; join: extract; publish: join rates", want: `
  ● extract  ● rates
    1.0s      1.0s
      └─┐     ┌─┘
      ● join  │
       1.0s   │
        └──┬──┘
       ● publish
         1.0s`},
		"every parent with every child": {dag: "a1; a2; b1: a1 a2; b2: a1 a2; b3: a1 a2", want: `
     ● a1  ● a2
     1.0s  1.0s
   ┌──┴──┬──┴──┐
  ● b1  ● b2  ● b3
  1.0s  1.0s  1.0s`},
		"lines that meet": {dag: "alpha; beta; gamma: alpha beta; delta: alpha; epsilon: beta", want: `
       ● alpha   ● beta
        1.0s      1.0s
     ┌────┴──┐ ┌───┴────┐
  ● delta  ● gamma  ● epsilon
   1.0s     1.0s      1.0s`},
		"lines that cross": {dag: "p1; p2; p3; left: p1 p2; middle: p2 p3; right: p3 p1", want: `
      ● p1  ● p2  ● p3
      1.0s  1.0s  1.0s
   ┌───┴────┐│┌────┴───┐
   │ ┌──────│┴│──────┐ │
  ● left  ● right  ● middle
   1.0s    1.0s      1.0s`},
		"a line past two layers": {dag: "a; b: a; c: b; d: c a", want: `
          ● a
          1.0s
        ┌──┴─┐
       ● b   │
       1.0s  │
        │    │
       ● c   │
       1.0s  │
        └─┬──┘
         ● d
         1.0s`},
		"two pieces": {dag: "a; b: a; x; y: x", want: `
  ● a   ● x
  1.0s  1.0s
   │     │
  ● b   ● y
  1.0s  1.0s`},
		"demo": {
			dag: "extract; rates; shop-1: extract; shop-2: extract; shop-3: extract; shop-4: extract; " +
				"shop-5: extract; shop-6: extract; join: shop-1 shop-2 shop-3 shop-4 shop-5 shop-6; " +
				"check: join; report: join; publish: check report rates",
			want: `
                          ● extract                        ● rates
                            1.0s                            1.0s
     ┌─────────┬─────────┬────┴────┬─────────┬─────────┐      │
  ● shop-1  ● shop-2  ● shop-3  ● shop-4  ● shop-5  ● shop-6  │
    1.0s      1.0s      1.0s      1.0s      1.0s      1.0s    │
     └─────────┴─────────┴───────┬─┴─────────┴─────────┘      │
                                 │          ┌─────────────────┘
                               ● join       │
                                1.0s        │
                            ┌────┴───┐      │
                         ● check  ● report  │
                          1.0s      1.0s    │
                            └───────┬┴──────┘
                                ● publish
                                  1.0s`,
		},
		"too wide": {dag: "in; w1: in; w2: in; w3: in; out: w1 w2 w3", width: 17, want: `
   1 ● in  1.0s
   2 ● w1  1.0s …
     ● w2  1.0s …
     ● w3  1.0s …
   3 ● out  1.0s…`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			g := newGraph(tasks(test.dag))
			notes := make([]note, len(g.nodes))
			for i := range notes {
				notes[i] = note{markOf(&taskRow{Phase: "Succeeded"}), "1.0s"}
			}
			if test.width == 0 {
				test.width = 80
			}
			if diff := cmp.Diff(test.want, text(picture(g, notes, test.width))); diff != "" {
				t.Errorf("picture (-want +got):\n%s", diff)
			}
		})
	}
}
