package leader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseLock is the lock of client-go's leader election, for one term. It tracks when this process last renewed the
// Lease. A renewal counts from the start of its request, by the monotonic clock.
type leaseLock struct {
	identity string             // of this process
	freshFor time.Duration      // how long a renewal is valid
	takenBy  func(other string) // called when another process has taken the held Lease
	renewed  atomic.Pointer[time.Time]

	mu              sync.Mutex // guards the fields below: one request at a time
	takeImmediately bool
	lease           *lease
}

var _ resourcelock.Interface = (*leaseLock)(nil)

// isFresh reports whether the Lease was renewed so recently that no other process can hold it.
func (l *leaseLock) isFresh() bool {
	renewed := l.renewed.Load()
	return renewed != nil && time.Since(*renewed) < l.freshFor
}

// wasHeld reports whether this process has held the Lease in this term.
func (l *leaseLock) wasHeld() bool { return l.renewed.Load() != nil }

// Get reads the Lease. If takeImmediately is set, it hides another holder, so that the election takes the Lease.
func (l *leaseLock) Get(ctx context.Context) (*resourcelock.LeaderElectionRecord, []byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.lease.read(ctx); err != nil {
		return nil, nil, err
	}
	record := resourcelock.LeaseSpecToLeaderElectionRecord(&l.lease.object.Spec)
	if record.HolderIdentity != l.identity {
		if l.takeImmediately {
			record.HolderIdentity = ""
		} else if l.wasHeld() {
			l.renewed.Store(&time.Time{})
			l.takenBy(record.HolderIdentity)
		}
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, nil, fmt.Errorf("encoding the lease's record: %w", err)
	}
	return record, raw, nil
}

// Create creates the Lease with this process as its holder.
func (l *leaseLock) Create(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.renew(ctx, record, l.lease.create)
}

// Update takes or renews the Lease.
func (l *leaseLock) Update(ctx context.Context, record resourcelock.LeaderElectionRecord) error {
	return l.renew(ctx, record, l.lease.update)
}

func (l *leaseLock) renew(
	ctx context.Context,
	record resourcelock.LeaderElectionRecord,
	write func(context.Context, coordinationv1.LeaseSpec) error,
) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	start := time.Now()
	if err := write(ctx, resourcelock.LeaderElectionRecordToLeaseSpec(&record)); err != nil {
		return err
	}
	l.takeImmediately = false
	l.renewed.Store(&start)
	return nil
}

// RecordEvent does nothing. Logs and metrics report a change of leaders.
func (l *leaseLock) RecordEvent(string) {}

// Identity returns the name under which this process holds the Lease.
func (l *leaseLock) Identity() string { return l.identity }

// Describe returns the namespace and name of the Lease.
func (l *leaseLock) Describe() string { return l.lease.namespace + "/" + l.lease.name }

// highestEpoch returns the highest epoch that the Lease has carried, as last read.
func (l *leaseLock) highestEpoch() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lease.epoch
}

// setEpoch writes a new epoch to the Lease. It does not renew the Lease. It returns errNotHolder if another process
// holds it.
func (l *leaseLock) setEpoch(ctx context.Context, epoch int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lease.epoch = max(l.lease.epoch, epoch)
	return l.rewrite(ctx, func(spec coordinationv1.LeaseSpec) coordinationv1.LeaseSpec { return spec })
}

// release gives up the Lease, so that the next leader need not wait. It returns errNotHolder if another process holds
// the Lease.
func (l *leaseLock) release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed.Store(&time.Time{})
	return l.rewrite(ctx, func(spec coordinationv1.LeaseSpec) coordinationv1.LeaseSpec {
		now := metav1.NewTime(time.Now())
		record := resourcelock.LeaderElectionRecord{LeaseDurationSeconds: 1, AcquireTime: now, RenewTime: now}
		if spec.LeaseTransitions != nil {
			record.LeaderTransitions = int(*spec.LeaseTransitions)
		}
		return resourcelock.LeaderElectionRecordToLeaseSpec(&record)
	})
}

var errNotHolder = errors.New("the lease is held by another")

// rewrite changes the spec of the Lease if this process holds it, and otherwise returns errNotHolder. After a conflict
// it reads the Lease and tries again.
func (l *leaseLock) rewrite(ctx context.Context, change func(coordinationv1.LeaseSpec) coordinationv1.LeaseSpec) error {
	for {
		if l.lease.holder() != l.identity {
			return errNotHolder
		}
		err := l.lease.update(ctx, change(*l.lease.object.Spec.DeepCopy()))
		if !apierrors.IsConflict(err) {
			return err
		}
		if err := l.lease.read(ctx); err != nil {
			return err
		}
	}
}
