package leader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"

	"kontroler/controller/fault"
	"kontroler/controller/wait"
	"kontroler/store"
)

// DefaultLeaseDuration is how long a Lease is believed that is not renewed.
const DefaultLeaseDuration = 15 * time.Second

// Shard is the part of the runs that a leader leads. Runs have one, so that several leaders can share them some day.
const Shard = 0

// drainTimeout bounds the end of a term: the ten seconds that Lead lets what is under way finish in, and a little more
// for what it then breaks off.
const drainTimeout = 12 * time.Second

// ErrLeaseLost ends a process: its Lease was not renewed in time, or was taken by another. Nothing more may be sent to
// the cluster.
var ErrLeaseLost = errors.New("the lease is lost")

var (
	errDatabaseAway = errors.New("the database has been away for a lease duration")
	errGaveUp       = errors.New("the lease was given up")
	errNotDrained   = fmt.Errorf("the term's work did not end within %s", drainTimeout)
)

// Epochs is what an election asks of the database. *store.DB is one.
type Epochs interface {
	// Ping asks for one answer.
	Ping(ctx context.Context) error
	// TakeEpoch makes holder the leader of a shard, in an epoch above atLeast, and ends the sessions of earlier ones.
	TakeEpoch(ctx context.Context, shard int, holder string, atLeast int64, accept bool) (int64, error)
}

// Metrics records who leads. It is implemented by *metrics.Metrics.
type Metrics interface {
	Epoch(epoch int64)
	Leader(leads bool)
	DatabaseUp(up bool)
}

type noMetrics struct{}

func (noMetrics) Epoch(int64)     {}
func (noMetrics) Leader(bool)     {}
func (noMetrics) DatabaseUp(bool) {}

// Config is what an Elector needs to know. All fields but the flags, LeaseDuration and Metrics are required.
type Config struct {
	// Leases should have no rate limit: a renewal must not wait behind other requests.
	Leases coordinationclient.LeasesGetter
	// ID is the controller's id, Namespace where its Lease is.
	ID, Namespace string
	// Holder names this process among those of the controller.
	Holder string
	// LeaseDuration is a number of whole seconds, three at least; default DefaultLeaseDuration.
	LeaseDuration time.Duration
	// TakeAtOnce takes the Lease without waiting, whoever holds it.
	TakeAtOnce bool
	// AcceptRestored goes on with a database that is behind the Lease.
	AcceptRestored bool
	Epochs         Epochs
	// Metrics may be nil.
	Metrics Metrics
	Log     *slog.Logger
}

// Elector makes this process the leader of its controller: by a Lease, then by an epoch of the database. The Lease keeps
// others from trying, the epoch keeps whoever does not know that it has lost the Lease from writing.
type Elector struct {
	Config
	renewDeadline time.Duration
	retryPeriod   time.Duration
	term          atomic.Pointer[leaseLock] // of the term that is on
	database      outage
}

// New checks the configuration; nothing is asked yet.
func New(cfg Config) (*Elector, error) {
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	if cfg.LeaseDuration == 0 {
		cfg.LeaseDuration = DefaultLeaseDuration
	}
	if cfg.Leases == nil || cfg.ID == "" || cfg.Namespace == "" || cfg.Holder == "" || cfg.Epochs == nil || cfg.Log == nil {
		return nil, errors.New("elector: Leases, ID, Namespace, Holder, Epochs and Log are required")
	}
	if cfg.LeaseDuration < 3*time.Second || cfg.LeaseDuration%time.Second != 0 {
		return nil, fmt.Errorf("elector: a lease duration of %s is not a number of whole seconds, three at least", cfg.LeaseDuration)
	}
	return &Elector{Config: cfg, renewDeadline: cfg.LeaseDuration * 2 / 3, retryPeriod: cfg.LeaseDuration * 2 / 15}, nil
}

// Fresh reports whether a term is on whose Lease was renewed within the renew deadline, two thirds of its duration:
// nobody else can hold it.
func (e *Elector) Fresh() bool {
	lock := e.term.Load()
	return lock != nil && lock.fresh()
}

// Stale reports whether a term is on whose Lease was not renewed in time. Whoever sees that must stop at once.
func (e *Elector) Stale() bool {
	lock := e.term.Load()
	return lock != nil && !lock.fresh()
}

// DatabaseAway reports whether the database does not answer, and since when. It is known while Run runs.
func (e *Elector) DatabaseAway() (since time.Time, away bool) {
	return e.database.away()
}

// Run leads whenever it can, until ctx ends. Once the database answers it waits for the Lease, takes an epoch and calls
// lead. The context of lead ends when the Lease is lost, when ctx ends, or when the database has been away for a lease
// duration. Within drainTimeout lead then returns, or at least sends nothing more to the cluster; until then the Lease is
// renewed.
//
// A term that ends because the database is away gives the Lease up and Run waits again. Run returns nil when ctx has
// ended, lead has returned and the Lease is released. Every other end is an error after which the process must exit:
// ErrLeaseLost, store.ErrFenced, store.ErrRestored, and what else lead returns.
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
	// The campaign outlives ctx: the Lease is renewed while the term drains.
	campaigning, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	lock := e.newLock()
	taken := make(chan string, 1)
	lock.takenBy = func(other string) {
		select {
		case taken <- other:
		default:
		}
		stop()
	}
	won, ended, err := e.campaign(campaigning, lock)
	if err != nil {
		return err
	}
	done := make(chan error, 1) // what lead returns
	select {
	case <-won:
		err = e.runTerm(ctx, lock, ended, func(ctx context.Context) { done <- e.takeAndLead(ctx, lock, lead) }, done)
	case <-ctx.Done():
	}
	// But for a database that is away the term stays on in these two cases: the gate lets nothing through once it is
	// stale, and the Lease runs out.
	hung := errors.Is(err, errNotDrained) && errors.Is(err, errDatabaseAway)
	switch {
	case errors.Is(err, errNotDrained) && !hung:
		return err
	case errors.Is(err, ErrLeaseLost):
		select {
		case other := <-taken:
			return fmt.Errorf("%w: %s is held by %q now", err, lock.Describe(), other)
		default:
			return fmt.Errorf("%w: %s could not be renewed for %s", err, lock.Describe(), e.renewDeadline)
		}
	}
	stop()
	<-ended
	e.endTerm(ctx, lock)
	if hung {
		// By now lead can send nothing to the cluster any more; only the database owes it answers.
		select {
		case <-done:
		case <-ctx.Done():
		}
	}
	return e.judge(ctx, err)
}

// judge says what follows from the end of a term whose Lease was released.
func (e *Elector) judge(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		return errors.New("the term ended by itself")
	case errors.Is(err, store.ErrFenced):
		return err
	case errors.Is(err, errDatabaseAway), store.IsUnavailable(err), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrUnknownCommit):
		return fmt.Errorf("%w: %w", errGaveUp, err)
	}
	return err
}

func (e *Elector) newLock() *leaseLock {
	return &leaseLock{
		leases:     e.Leases.Leases(e.Namespace),
		namespace:  e.Namespace,
		name:       LeaseName(e.ID),
		labels:     leaseLabels(e.ID),
		holder:     e.Holder,
		timeout:    e.renewDeadline / 2,
		freshFor:   e.renewDeadline,
		takeAtOnce: e.TakeAtOnce,
	}
}

// campaign runs for the Lease and holds it until ctx ends or it is lost; ended is closed then.
func (e *Elector) campaign(ctx context.Context, lock *leaseLock) (won, ended <-chan struct{}, err error) {
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

// runTerm leads until lead has returned. It does not wait for lead when the Lease is lost.
func (e *Elector) runTerm(ctx context.Context, lock *leaseLock, ended <-chan struct{}, lead func(context.Context), done <-chan error) error {
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
		case <-ended:
			return ErrLeaseLost
		case err := <-done:
			return because(reason, err)
		case <-overdue:
			return because(reason, errNotDrained)
		case <-tick.C:
			if since, away := e.DatabaseAway(); !away || overdue != nil || time.Since(since) < e.LeaseDuration {
				continue
			}
			reason = errDatabaseAway
			e.Log.Warn("ending the term: another process may reach the database", "reason", reason)
		case <-stopping:
		}
		cancel()
		stopping, overdue = nil, time.After(drainTimeout)
	}
}

// because is an error with the reason for it, where there is one, and either alone.
func because(reason, err error) error {
	if reason != nil && err != nil {
		return fmt.Errorf("%w: %w", reason, err)
	}
	return cmp.Or(err, reason)
}

// takeAndLead takes an epoch, writes it onto the Lease, and leads.
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
		e.Log.Warn("writing the epoch onto the Lease", "lease", lock.Describe(), "error", err)
		if !wait.For(ctx, e.retryPeriod) {
			return ctx.Err()
		}
	}
	e.Metrics.Epoch(epoch)
	e.Metrics.Leader(true)
	e.Log.Info("leading", "epoch", epoch, "lease", lock.Describe(), "holder", e.Holder)
	return lead(ctx, epoch)
}

// endTerm releases the Lease after a term in which nothing is under way any more.
func (e *Elector) endTerm(ctx context.Context, lock *leaseLock) {
	e.term.Store(nil)
	e.Metrics.Leader(false)
	if !lock.held() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.renewDeadline)
	defer cancel()
	if err := lock.release(ctx); err != nil && !errors.Is(err, errNotHolder) {
		e.Log.Warn("releasing the Lease", "lease", lock.Describe(), "error", err)
		return
	}
	e.Log.Info("released the Lease", "lease", lock.Describe())
}

// pingTimeout is after how long an answer that does not come means that the database is away.
func (e *Elector) pingTimeout() time.Duration { return e.LeaseDuration / 5 }

// watchDatabase asks the database for an answer ten times a lease duration.
func (e *Elector) watchDatabase(ctx context.Context) {
	for {
		e.ping(ctx)
		if !wait.For(ctx, e.LeaseDuration/10) {
			return
		}
	}
}

// ping asks once, and waits for the answer however long it takes: a driver may not heed its context. That it takes too
// long is known, and said, before.
func (e *Elector) ping(ctx context.Context) {
	asked := time.Now()
	asking, cancel := context.WithTimeout(ctx, e.pingTimeout())
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- e.Epochs.Ping(asking) }()
	select {
	case err := <-answer:
		e.answered(ctx, asked, err)
	case <-asking.Done():
		e.answered(ctx, asked, fmt.Errorf("no answer within %s", e.pingTimeout()))
		select {
		case err := <-answer:
			e.answered(ctx, asked, err)
		case <-ctx.Done():
		}
	}
}

// answered notes an answer of the database to a question.
func (e *Elector) answered(ctx context.Context, asked time.Time, err error) {
	if ctx.Err() != nil {
		return
	}
	was, changed := e.database.answered(asked, err)
	e.Metrics.DatabaseUp(err == nil)
	switch {
	case changed && err != nil:
		e.Log.Warn("the database does not answer", "error", err)
	case changed:
		e.Log.Info("the database answers again", "away", time.Since(was).Round(time.Millisecond).String())
	}
}

// awaitDatabase waits for an answer of the database; it reports whether one came before ctx ended.
func (e *Elector) awaitDatabase(ctx context.Context) bool {
	for ctx.Err() == nil {
		if e.database.up() {
			return true
		}
		wait.For(ctx, 50*time.Millisecond)
	}
	return false
}

// outage is what is known of the database.
type outage struct {
	mu    sync.Mutex
	known bool      // there was an answer, or none
	since time.Time // when the first question was asked that got none; zero: the last got one
}

// answered returns since when the database had been away, and whether it has gone or come back now.
func (o *outage) answered(asked time.Time, err error) (was time.Time, changed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	was, o.known = o.since, true
	switch {
	case err == nil:
		o.since = time.Time{}
	case was.IsZero():
		o.since = asked
	}
	return was, was.IsZero() != o.since.IsZero()
}

func (o *outage) away() (time.Time, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.since, !o.since.IsZero()
}

func (o *outage) up() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known && o.since.IsZero()
}
