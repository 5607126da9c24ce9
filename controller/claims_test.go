package controller

import (
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A controller that renews its Lease keeps its claims, and one that is gone loses them, however wrong its clock is.
func TestClaimsOfSkewedClocks(t *testing.T) {
	const duration = 15 * time.Second
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, skew := range []time.Duration{-10 * time.Minute, 0, 10 * time.Minute} {
		// lease returns the Lease as the other controller wrote it at a time after the begin, by that controller's
		// clock.
		lease := func(written time.Duration) *coordinationv1.Lease {
			seconds, at := int32(duration/time.Second), metav1.NewMicroTime(begin.Add(written+skew))
			return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{UID: "u", ResourceVersion: fmt.Sprint(written)},
				Spec: coordinationv1.LeaseSpec{RenewTime: &at, LeaseDurationSeconds: &seconds}}
		}
		t.Run(fmt.Sprintf("its clock is %v ahead and it lives", skew), func(t *testing.T) {
			leases := newOtherLeases()
			for after := time.Duration(0); after < time.Hour; after += claimsEvery {
				if leases.isVoid(lease(after.Truncate(20*time.Second)), begin.Add(after)) {
					t.Fatalf("void after %v", after)
				}
			}
		})
		t.Run(fmt.Sprintf("its clock is %v ahead and it is gone", skew), func(t *testing.T) {
			leases, after := newOtherLeases(), time.Duration(0)
			for !leases.isVoid(lease(0), begin.Add(after)) {
				if after += claimsEvery; after > duration+claimVoidAfter+claimsEvery {
					t.Fatalf("not void after %v", after)
				}
			}
			if after < duration {
				t.Errorf("void after %v", after)
			}
		})
	}
}
