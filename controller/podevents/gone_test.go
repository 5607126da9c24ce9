package podevents

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"kontroler/store"
)

func TestTheLatestPodsAreRemembered(t *testing.T) {
	g := newGonePods()
	const added = 3*podsRemembered + 7
	for n := range added {
		g.add(store.Pod{UID: fmt.Sprint(n), Name: "p"})
		oldest := types.UID(fmt.Sprint(max(0, n-podsRemembered+1)))
		if _, ok := g.get(oldest); !ok {
			t.Fatalf("Pod %s is forgotten when Pod %d is added", oldest, n)
		}
	}
	if _, ok := g.get("0"); ok {
		t.Errorf("the first of %d Pods is remembered", added)
	}
	if n := len(g.recent) + len(g.older); n > 2*podsRemembered {
		t.Errorf("%d Pods are remembered, want at most %d", n, 2*podsRemembered)
	}
}
