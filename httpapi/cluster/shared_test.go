package cluster

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSharedList checks that concurrent callers share the next list, which begins after they called.
func TestSharedList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newSharedList()
		var callers sync.WaitGroup
		lists, began := 0, time.Now()
		ask := func() {
			asked := time.Since(began)
			callers.Go(func() {
				_, err := shared.do(func() (pendingRuns, error) {
					if now := time.Since(began); now < asked {
						t.Errorf("a list at %s serves who asked at %s", now, asked)
					}
					lists++
					time.Sleep(time.Second)
					return pendingRuns{}, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		ask()
		synctest.Wait()
		for range 20 {
			time.Sleep(10 * time.Millisecond)
			ask()
		}
		callers.Wait()
		if took := time.Since(began); lists != 2 || took != 2*time.Second {
			t.Errorf("%d lists in %s, want 2 in 2s", lists, took)
		}
	})
}
