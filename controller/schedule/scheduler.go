package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/fault"
	"kontroler/controller/queue"
	"kontroler/generated/clientset/versioned"
	"kontroler/store"
)

// syncWorkers is how many schedules of one namespace are synced concurrently.
const syncWorkers = 32

// Config is what a Scheduler depends on. All fields are required.
type Config struct {
	Schedules *store.Schedules
	Client    versioned.Interface
	// ControllerID is the controller whose DAGs are scheduled.
	ControllerID string
	// Since is when the controller's database was created. Earlier due times may have run elsewhere.
	Since time.Time
	// StatusWorkers is how many DAGs of one namespace are patched concurrently.
	StatusWorkers int
	// Now is the time of the database, which decides what is due.
	Now     func() time.Time
	Log     *slog.Logger
	Events  record.EventRecorder
	Metrics queue.Metrics

	// CachedDAG returns a DAG from the cache.
	CachedDAG func(cache.ObjectName) (*v1alpha1.DAG, bool)
	// CachedRun returns a DagRun from the cache by its UID, or nil if it is not cached.
	CachedRun func(queue.RunKey) *v1alpha1.DagRun
	// SetCondition sets a condition of a DAG, or removes it if the condition is nil.
	SetCondition func(ctx context.Context, dag cache.ObjectName, kind string, condition *metav1.Condition) error
	// Synced is called with the error of each sync of a schedule, nil after a success.
	Synced func(ctx context.Context, dag cache.ObjectName, err error)
	// Failed is called with each error after which a key is retried.
	Failed func(error)
	// Retire is called when a schedule no longer needs the DagRun with this UID to be kept.
	Retire func(queue.RunKey)
}

// Scheduler creates the DagRuns of DAGs that have a schedule, for one term of leadership. What it has in memory can be
// lost at any instant: it is rebuilt from the rows and the cached DAGs.
type Scheduler struct {
	cfg     Config
	dagRuns dagRuns
	// schedules are the DAGs whose schedule may be due or may have changed.
	schedules *queue.Queue[cache.ObjectName]
	// scheduleStatus are the DAGs whose status may show outdated due times.
	scheduleStatus *queue.Queue[cache.ObjectName]
	timers         *timers
	refusals       *refusals
}

// New makes a scheduler. Keys can be added; they are synced after Start.
func New(cfg Config) *Scheduler {
	return &Scheduler{
		cfg: cfg, dagRuns: dagRuns{cfg.Client.KontrolerV1alpha1()}, timers: newTimers(), refusals: newRefusals(),
		schedules:      queue.New("schedules", cfg.Metrics, queue.ByName),
		scheduleStatus: queue.New("schedule-status", cfg.Metrics, queue.ByName),
	}
}

// Start starts the workers with start, which runs work n times in the background. A worker returns after ShutDown, once
// its current sync has finished. The end of ctx cancels that sync.
func (s *Scheduler) Start(ctx context.Context, start func(n int, work func())) {
	start(queue.WorkersFor(syncWorkers), func() { s.schedules.Work(ctx, s.sync, s.cfg.Failed) })
	start(queue.WorkersFor(s.cfg.StatusWorkers), func() { s.scheduleStatus.Work(ctx, s.syncStatus, s.cfg.Failed) })
}

// Run enqueues each schedule when it is due, until ctx ends.
func (s *Scheduler) Run(ctx context.Context) { s.timers.alarms.Watch(ctx, s.cfg.Now, s.schedules.Add) }

// ShutDown shuts the queues down. The next term enqueues the remaining keys again.
func (s *Scheduler) ShutDown() {
	s.schedules.ShutDown()
	s.scheduleStatus.ShutDown()
}

// Enqueue adds the schedule of a DAG to the queue.
func (s *Scheduler) Enqueue(dag cache.ObjectName) { s.schedules.Add(dag) }

// Changed enqueues the schedule of a DAG after a change that may affect it. old is nil for a DAG that is new in the
// cache. The Valid condition matters too: a DagTask can make a DAG invalid, and valid again, while the DAG's generation
// stays the same.
func (s *Scheduler) Changed(old, d *v1alpha1.DAG) {
	if old == nil || old.UID != d.UID || old.Generation != d.Generation ||
		old.Status.Controller != d.Status.Controller ||
		old.Status.ObservedGeneration != d.Status.ObservedGeneration || heldAs(old) != heldAs(d) {
		s.Enqueue(cache.MetaObjectToName(d))
	}
}

// PassOver accounts for the due times up to now of a DAG that this controller is about to claim again. They may have
// run elsewhere, so they do not run here. After the claim, the schedule continues with the due times that follow.
func (s *Scheduler) PassOver(ctx context.Context, d *v1alpha1.DAG) error {
	now := s.cfg.Now()
	for hasMore := true; hasMore; {
		row, found, err := s.cfg.Schedules.Read(ctx, d.Namespace, d.Name)
		if err != nil || !found || row.DAGUID != string(d.UID) || row.Expression == "" {
			return err
		}
		row.HeldAs = outcomeUnknown
		p := makePlan(facts{dag: d, row: row, since: s.cfg.Since, now: now})
		if _, err := s.cfg.Schedules.Advance(ctx, p.ScheduleUpdate); err != nil {
			return fmt.Errorf("accounting for the schedule of DAG %s/%s before its claim: %w", d.Namespace, d.Name, err)
		}
		hasMore = p.hasMore
	}
	return nil
}

func (s *Scheduler) sync(ctx context.Context, name cache.ObjectName) error {
	err := queue.Guard(name, func() error { return s.reconcile(ctx, name) })
	s.cfg.Synced(ctx, name, err)
	return err
}

// reconcile brings one schedule up to date: it accounts for what is due, creates the DagRuns, and sets the timer.
func (s *Scheduler) reconcile(ctx context.Context, name cache.ObjectName) error {
	d, exists := s.cfg.CachedDAG(name)
	if !exists || d.Status.Controller != s.cfg.ControllerID || d.DeletionTimestamp != nil {
		s.timers.drop(name)
		s.refusals.drop(name)
		return s.end(ctx, name)
	}
	if d.Status.ObservedGeneration != d.Generation {
		return nil // the sync of the DAG first decides whether it is valid; Changed then enqueues the schedule
	}
	now := s.cfg.Now()
	if current, isSet := s.timers.get(name); isSet && current.isOf(d) && !current.isDue(now) {
		s.timers.set(name, current) // if the clock was set back after the alarm, the alarm is gone
		return nil
	}
	s.timers.drop(name)
	if wait := s.refusals.wait(name, now); wait > 0 {
		s.schedules.AddAfter(name, wait)
		return nil
	}
	next, hasMore, err := s.account(ctx, d)
	refused, isRefused := errors.AsType[*refusedError](err)
	switch {
	case isRefused:
		return s.reportRefused(ctx, name, refused)
	case err != nil:
		return err
	case hasMore:
		s.schedules.Add(name)
		return nil
	case next == nil:
		return nil
	}
	// The timer comes last: a sync that finds one has nothing left to do.
	if err := s.reportAccepted(ctx, name); err != nil {
		return err
	}
	s.timers.set(name, *next)
	s.scheduleStatus.Add(name)
	return nil
}

// account gathers, decides, commits and acts. It returns the timer to set, or nil if the DAG has no schedule or no row
// yet. hasMore reports that due times up to now are left. An error that wraps *refusedError means that the API server
// refused a DagRun.
//
// While a DagRun of an earlier decision does not exist, account decides nothing new: it takes the due time back, so
// that the due time is part of the next gap.
func (s *Scheduler) account(ctx context.Context, d *v1alpha1.DAG) (next *timer, hasMore bool, err error) {
	row, found, err := s.cfg.Schedules.Read(ctx, d.Namespace, d.Name)
	if err != nil || !found || row.DAGUID == "" && d.Spec.Schedule == "" {
		return nil, false, err
	}
	live, settled, err := s.scheduledRuns(ctx, d, row)
	if err != nil {
		return nil, false, err
	}
	if uncreated, err := s.findUncreated(ctx, d, row.DAGID, live); err != nil {
		return nil, false, err
	} else if len(uncreated) > 0 {
		if err := s.takeBack(ctx, row, uncreated); err != nil {
			return nil, false, err
		}
		return s.account(ctx, d) // All runs that are left have a UID. If the create fails again, this sync fails.
	}
	p := makePlan(facts{dag: d, row: row, live: live, settled: settled, since: s.cfg.Since, now: s.cfg.Now()})
	if s.refusals.has(cache.MetaObjectToName(d)) {
		p.keepFirstRun()
	}
	row = p.After
	if p.isChange() {
		if row, err = s.cfg.Schedules.Advance(ctx, p.ScheduleUpdate); err != nil {
			return nil, false, fmt.Errorf("accounting for the schedule of DAG %s/%s: %w", d.Namespace, d.Name, err)
		}
		fault.Point("tick-committed")
	}
	if err := s.createRuns(ctx, d, row, p.runs); err != nil {
		return nil, false, err
	}
	if err := s.cancelReplaced(ctx, d, p.runs); err != nil {
		return nil, false, err
	}
	return newTimer(d, row.LastDue, p.next), p.hasMore, nil
}
