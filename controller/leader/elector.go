package leader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"

	"kontroler/controller/fault"
	"kontroler/controller/wait"
	"kontroler/store"
)

// Shard is the shard of a leader's runs. It exists so that several leaders can share the runs in the future.
const Shard = 0

// drainTimeout limits the end of a term: ten seconds in which lead finishes its syncs, and a margin for those that it
// then cancels.
const drainTimeout = 12 * time.Second

// ErrLeaseLost means that the Lease was not renewed in time or that another process took it. The process must send
// nothing more to the cluster and exit.
var ErrLeaseLost = errors.New("the lease is lost")

var (
	errDatabaseAway = errors.New("the database has been unavailable for a lease duration")
	errGaveUp       = errors.New("the lease was given up")
	errNotDrained   = fmt.Errorf("the term's work did not end within %s", drainTimeout)
)

// Epochs is the part of *store.DB that an Elector uses.
type Epochs interface {
	// Ping checks that the database answers.
	Ping(ctx context.Context) error
	// TakeEpoch makes holder the leader of a shard in an epoch above atLeast, and ends the sessions of earlier epochs.
	TakeEpoch(ctx context.Context, shard int, holder string, atLeast int64, accept bool) (int64, error)
}

// Metrics records leadership. *metrics.Metrics implements it.
type Metrics interface {
	Epoch(epoch int64)
	Leader(leads bool)
	DatabaseUp(up bool)
}

// Config configures an Elector. Only the booleans are optional.
type Config struct {
	// Leases should have no rate limit, because a renewal must not wait behind other requests.
	Leases coordinationclient.LeasesGetter
	// ID is the id of the controller. Namespace is the namespace of its Lease.
	ID, Namespace string
	// Holder identifies this process among the replicas of the controller.
	Holder string
	// LeaseDuration is how long a Lease is valid without a renewal, in whole seconds, at least three.
	LeaseDuration time.Duration
	// TakeImmediately takes the Lease without waiting, even from another holder.
	TakeImmediately bool
	// AcceptRestored continues with a database whose epoch is behind that of the Lease.
	AcceptRestored bool
	Epochs         Epochs
	Metrics        Metrics
	Log            *slog.Logger
}

// Elector makes this process the leader of its controller, first by the Lease, then by an epoch of the database. The
// Lease keeps other processes from campaigning. The epoch stops writes of a process that has lost the Lease without
// noticing.
type Elector struct {
	Config
	renewDeadline time.Duration
	retryPeriod   time.Duration
	term          atomic.Pointer[leaseLock] // nil between terms
	database      outage
}

// New validates the configuration. It sends no request.
func New(cfg Config) (*Elector, error) {
	if cfg.Leases == nil || cfg.ID == "" || cfg.Namespace == "" || cfg.Holder == "" || cfg.Epochs == nil ||
		cfg.Metrics == nil || cfg.Log == nil {
		return nil, errors.New("elector: Leases, ID, Namespace, Holder, Epochs, Metrics and Log are required")
	}
	if cfg.LeaseDuration < 3*time.Second || cfg.LeaseDuration%time.Second != 0 {
		return nil, fmt.Errorf("elector: a lease duration is in whole seconds, at least three: %s", cfg.LeaseDuration)
	}
	return &Elector{Config: cfg, renewDeadline: cfg.LeaseDuration * 2 / 3, retryPeriod: cfg.LeaseDuration * 2 / 15}, nil
}

// Stale reports whether this process is in a term and has not renewed the Lease within the renew deadline, two thirds
// of its duration. It must then stop immediately: another process may hold the Lease.
func (e *Elector) Stale() bool {
	lock := e.term.Load()
	return lock != nil && !lock.isFresh()
}

// DatabaseAway reports whether the database is unavailable, and since when. It is valid while Run runs.
func (e *Elector) DatabaseAway() (since time.Time, away bool) {
	return e.database.away()
}

// Run campaigns and leads until ctx ends. When the database answers, it waits for the Lease, takes an epoch and calls
// lead. The context of lead ends when the Lease is lost, when ctx ends, or when the database has been unavailable for a
// lease duration. Within drainTimeout lead must return, or at least send nothing more to the cluster. The Lease is
// renewed until then.
//
// If a term ends because the database is unavailable, Run gives up the Lease and waits again. Run returns nil after ctx
// has ended, lead has returned and the Lease is released. After any other end it returns an error, and the process must
// exit: ErrLeaseLost, store.ErrFenced, store.ErrRestored, or an error of lead.
func (e *Elector) Run(ctx context.Context, lead func(ctx context.Context, epoch int64) error) error {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go e.watchDatabase(watching)
	for {
		if !e.awaitDatabase(ctx) {
			return nil
		}
		err := e.lead(ctx, lead)
		if !errors.Is(err, errGaveUp) {
			return err
		}
		e.Log.Warn("waiting for the database before leading again", "error", err)
		if !wait.For(ctx, e.retryPeriod) {
			return nil
		}
	}
}

// lead waits for the Lease and leads one term.
func (e *Elector) lead(ctx context.Context, lead func(context.Context, int64) error) error {
	// The campaign outlives ctx, so that the Lease is renewed while the term drains.
	campaigning, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	taken := make(chan string, 1)
	lock := &leaseLock{
		identity:        e.Holder,
		freshFor:        e.renewDeadline,
		takeImmediately: e.TakeImmediately,
		takenBy: func(other string) {
			select {
			case taken <- other:
			default:
			}
			stop()
		},
		lease: newLease(e.Leases, e.ID, e.Namespace, e.renewDeadline/2),
	}
	won, lost, err := e.campaign(campaigning, lock)
	if err != nil {
		return err
	}
	done := make(chan error, 1) // the result of lead
	select {
	case <-won:
		err = e.runTerm(ctx, lock, lost, func(ctx context.Context) { done <- e.takeAndLead(ctx, lock, lead) }, done)
	case <-ctx.Done():
	}
	// If lead hangs because the database is unavailable, the Lease is released nevertheless.
	isHung := errors.Is(err, errNotDrained) && errors.Is(err, errDatabaseAway)
	switch {
	case errors.Is(err, errNotDrained) && !isHung:
		// The term stays set: the gate ends the process once the Lease is stale, and the Lease expires.
		return err
	case errors.Is(err, ErrLeaseLost):
		// The term stays set for the same reason.
		select {
		case other := <-taken:
			return fmt.Errorf("%w: %s is now held by %q", err, lock.Describe(), other)
		default:
			return fmt.Errorf("%w: %s could not be renewed for %s", err, lock.Describe(), e.renewDeadline)
		}
	}
	stop()
	<-lost
	e.endTerm(ctx, lock)
	if isHung {
		// lead can send nothing to the cluster any more. It waits only for the database.
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	return e.termError(ctx, err)
}

// termError returns the error of a term whose Lease was released. errGaveUp means that Run campaigns again.
func (e *Elector) termError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return errors.New("the term ended by itself")
	case errors.Is(err, store.ErrFenced):
		return err
	case errors.Is(err, errDatabaseAway),
		store.IsUnavailable(err),
		errors.Is(err, store.ErrConflict),
		errors.Is(err, store.ErrUnknownCommit):
		return fmt.Errorf("%w: %w", errGaveUp, err)
	}
	return err
}

// campaign waits for the Lease and renews it until ctx ends or the Lease is lost. It closes won when it has the
// Lease, and lost when it ends.
func (e *Elector) campaign(ctx context.Context, lock *leaseLock) (won, lost <-chan struct{}, err error) {
	started, stopped := make(chan struct{}), make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock:          lock,
		LeaseDuration: e.LeaseDuration,
		RenewDeadline: e.renewDeadline,
		RetryPeriod:   e.retryPeriod,
		Name:          lock.Describe(),
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(started) },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("preparing the election: %w", err)
	}
	go func() {
		defer close(stopped)
		elector.Run(ctx)
	}()
	return started, stopped, nil
}

// runTerm leads until lead has returned, the drain timeout has passed, or the Lease is lost. It does not wait for
// lead after the loss of the Lease.
func (e *Elector) runTerm(
	ctx context.Context, lock *leaseLock, lost <-chan struct{}, lead func(context.Context), done <-chan error,
) error {
	e.term.Store(lock)
	leading, cancel := context.WithCancel(ctx)
	defer cancel()
	go lead(leading)

	tick := time.NewTicker(e.LeaseDuration / 10)
	defer tick.Stop()
	stopping, reason := ctx.Done(), error(nil)
	var overdue <-chan time.Time
	for {
		select {
		case <-lost:
			return ErrLeaseLost
		case err := <-done:
			return withReason(reason, err)
		case <-overdue:
			return withReason(reason, errNotDrained)
		case <-tick.C:
			if since, away := e.DatabaseAway(); !away || overdue != nil || time.Since(since) < e.LeaseDuration {
				continue
			}
			reason = errDatabaseAway
			e.Log.Warn("ending the term, so that another process that reaches the database can lead", "reason", reason)
		case <-stopping:
		}
		cancel()
		stopping, overdue = nil, time.After(drainTimeout)
	}
}

// withReason joins an error and the reason for it. Either may be nil.
func withReason(reason, err error) error {
	if reason != nil && err != nil {
		return fmt.Errorf("%w: %w", reason, err)
	}
	return cmp.Or(err, reason)
}

// takeAndLead takes an epoch, writes it to the Lease and leads.
func (e *Elector) takeAndLead(ctx context.Context, lock *leaseLock, lead func(context.Context, int64) error) error {
	epoch, err := e.Epochs.TakeEpoch(ctx, Shard, e.Holder, lock.highestEpoch(), e.AcceptRestored)
	if err != nil {
		return err
	}
	fault.Point("epoch-taken")
	for {
		if err = lock.setEpoch(ctx, epoch); err == nil {
			break
		}
		e.Log.Warn("writing the epoch to the Lease failed; will be retried", "lease", lock.Describe(), "error", err)
		if !wait.For(ctx, e.retryPeriod) {
			return ctx.Err()
		}
	}
	e.Metrics.Epoch(epoch)
	e.Metrics.Leader(true)
	e.Log.Info("leading", "epoch", epoch, "lease", lock.Describe(), "holder", e.Holder)
	return lead(ctx, epoch)
}

// endTerm releases the Lease after the term has drained.
func (e *Elector) endTerm(ctx context.Context, lock *leaseLock) {
	e.term.Store(nil)
	e.Metrics.Leader(false)
	if !lock.wasHeld() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.renewDeadline)
	defer cancel()
	if err := lock.release(ctx); err != nil && !errors.Is(err, errNotHolder) {
		e.Log.Warn("releasing the Lease failed", "lease", lock.Describe(), "error", err)
		return
	}
	e.Log.Info("released the Lease", "lease", lock.Describe())
}
