package store_test

import (
	"errors"
	"regexp"
	"sync"
	"testing"

	"kontroler/store"
	"kontroler/store/storetest"
)

func TestIdentityIsMadeOnce(t *testing.T) {
	db := storetest.New(t)
	ids := make([]string, 20)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			identity, err := db.Identity(t.Context())
			if err != nil {
				t.Error(err)
			}
			ids[i] = identity.ControllerID
		})
	}
	wg.Wait()
	if !regexp.MustCompile(`^[a-z][a-z0-9]{9}$`).MatchString(ids[0]) {
		t.Errorf("controller id %q", ids[0])
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("two controller ids: %q and %q", ids[0], id)
		}
	}
}

func TestBindCluster(t *testing.T) {
	db := storetest.New(t)
	steps := []struct {
		cluster string
		adopt   bool
		other   bool
		bound   string
	}{
		{cluster: "a", bound: "a"},
		{cluster: "a", bound: "a"},
		{cluster: "b", other: true, bound: "a"},
		{cluster: "b", adopt: true, bound: "b"},
		{cluster: "a", other: true, bound: "b"},
	}
	for i, step := range steps {
		err := db.BindCluster(t.Context(), step.cluster, step.adopt)
		if errors.Is(err, store.ErrOtherCluster) != step.other || (err != nil) != step.other {
			t.Errorf("step %d: binding %q: %v, want other cluster: %t", i, step.cluster, err, step.other)
		}
		var other *store.OtherClusterError
		if step.other && (!errors.As(err, &other) || other.Bound != step.bound || other.Found != step.cluster) {
			t.Errorf("step %d: %+v", i, other)
		}
		identity, err := db.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if identity.ClusterUID != step.bound {
			t.Errorf("step %d: bound to %q, want %q", i, identity.ClusterUID, step.bound)
		}
	}
}
