package leader_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"kontroler/apis/clustertest"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/leader"
	"kontroler/store"
)

const (
	leaseOf = "kontroler-c0ntr0ller"
	leaseNS = "kontroler"
)

// epochs is a fake of the database: it has an epoch, and can fail or hang. The tests of the command use a real
// database; here time is simulated.
type epochs struct {
	mu    sync.Mutex
	epoch int64
	err   error         // of Ping and TakeEpoch
	hang  chan struct{} // Ping and TakeEpoch block until it is closed
}

func (e *epochs) set(err error, hang chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err, e.hang = err, hang
}

func (e *epochs) Ping(context.Context) error {
	e.mu.Lock()
	err, hang := e.err, e.hang
	e.mu.Unlock()
	if hang != nil {
		<-hang
	}
	return err
}

func (e *epochs) TakeEpoch(ctx context.Context, _ int, _ string, atLeast int64, accept bool) (int64, error) {
	if err := e.Ping(ctx); err != nil {
		return 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.epoch < atLeast && !accept {
		return 0, &store.RestoredError{Database: e.epoch, Lease: atLeast}
	}
	e.epoch = max(e.epoch, atLeast) + 1
	return e.epoch, nil
}

// terms records the terms of a lead function.
type terms struct {
	work
	mu  sync.Mutex
	log []string
}

// work is how a lead function behaves: it runs until its context ends, and then for drain.
type work struct {
	drain       time.Duration
	err         error // what it returns
	isImmediate bool  // does not wait for the end of its context
}

func (r *terms) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func (r *terms) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.log...)
}

func (r *terms) lead(ctx context.Context, epoch int64) error {
	r.note("epoch %d", epoch)
	if !r.isImmediate {
		<-ctx.Done()
	}
	time.Sleep(r.drain)
	r.note("end %d", epoch)
	return r.err
}

type noMetrics struct{}

func (noMetrics) Epoch(int64)     {}
func (noMetrics) Leader(bool)     {}
func (noMetrics) DatabaseUp(bool) {}

// election is a running elector in a bubble of simulated time.
type election struct {
	*leader.Elector
	cancel context.CancelFunc
	ended  chan error
}

func elect(
	t *testing.T, kube kubernetes.Interface, holder string, db *epochs, record *terms, change ...func(*leader.Config),
) *election {
	t.Helper()
	cfg := leader.Config{
		Leases: kube.CoordinationV1(), ID: "c0ntr0ller", Namespace: leaseNS, Holder: holder,
		LeaseDuration: 15 * time.Second, Epochs: db, Metrics: noMetrics{},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	for _, f := range change {
		f(&cfg)
	}
	elector, err := leader.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	e := &election{Elector: elector, cancel: cancel, ended: make(chan error, 1)}
	go func() { e.ended <- elector.Run(ctx, record.lead) }()
	return e
}

// end waits for Run and returns its error. It fails the test if Run does not return.
func (e *election) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-e.ended:
		return err
	case <-time.After(time.Hour):
		t.Fatal("Run does not return")
		return nil
	}
}

// sleep waits for a time and for everything that happens within it.
func sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func readLease(t *testing.T, kube kubernetes.Interface) *coordinationv1.Lease {
	t.Helper()
	lease, err := kube.CoordinationV1().Leases(leaseNS).Get(t.Context(), leaseOf, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func heldLease(holder, epoch string) *coordinationv1.Lease {
	seconds, now := int32(15), metav1.NowMicro()
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name:        leaseOf,
			Namespace:   leaseNS,
			Annotations: map[string]string{v1alpha1.AnnotationEpoch: epoch},
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       &holder,
			LeaseDurationSeconds: &seconds,
			AcquireTime:          &now,
			RenewTime:            &now,
		},
	}
}

// newKube returns a fake API server that checks resourceVersions as a real one does.
func newKube(objects ...runtime.Object) *fake.Clientset {
	kube := fake.NewClientset(objects...)
	var mu sync.Mutex
	current := 0
	kube.PrependReactor("*", "leases", func(action clienttesting.Action) (bool, runtime.Object, error) {
		written, ok := action.(clienttesting.UpdateAction) // a CreateAction has the same methods
		if !ok {
			return false, nil, nil
		}
		mu.Lock()
		defer mu.Unlock()
		lease := written.GetObject().(*coordinationv1.Lease)
		if had := lease.ResourceVersion; action.GetVerb() == "update" && had != "" && had != strconv.Itoa(current) {
			return true, nil, apierrors.NewConflict(
				action.GetResource().GroupResource(),
				lease.Name,
				errors.New("it has changed"),
			)
		}
		current++
		lease.ResourceVersion = strconv.Itoa(current)
		return false, nil, nil
	})
	return kube
}

// failLeases makes every request to a Lease fail while a condition holds.
func failLeases(kube *fake.Clientset, when func() bool) {
	kube.PrependReactor("*", "leases", func(clienttesting.Action) (bool, runtime.Object, error) {
		if when() {
			return true, nil, apierrors.NewInternalError(errors.New("no API server"))
		}
		return false, nil, nil
	})
}

func wantTerms(t *testing.T, record *terms, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, record.got()); diff != "" {
		t.Errorf("terms (-want +got):\n%s", diff)
	}
}

func TestElectorLeadsAndReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube, db, record := newKube(), &epochs{}, &terms{work: work{drain: 9 * time.Second}}
		e := elect(t, kube, "a", db, record)
		sleep(time.Minute)
		lease := readLease(t, kube)
		got := map[string]string{
			"holder": *lease.Spec.HolderIdentity, "epoch": lease.Annotations[v1alpha1.AnnotationEpoch],
		}
		for key, value := range lease.Labels {
			got[key] = value
		}
		want := map[string]string{
			"holder":                 "a",
			"epoch":                  "1",
			v1alpha1.LabelController: "c0ntr0ller",
			"app.kubernetes.io/name": "kontroler",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Lease (-want +got):\n%s", diff)
		}
		if !e.Fresh() || e.Stale() {
			t.Error("a leader that renews is not fresh")
		}

		e.cancel()
		sleep(8900 * time.Millisecond)
		if !e.Fresh() {
			t.Error("the Lease is not renewed while the term drains")
		}
		sleep(time.Second)
		if err := e.end(t); err != nil {
			t.Errorf("Run: %v", err)
		}
		if holder := *readLease(t, kube).Spec.HolderIdentity; holder != "" {
			t.Errorf("the Lease is not released: held by %q", holder)
		}
		if e.Fresh() || e.Stale() {
			t.Error("a term is set after the end")
		}
		wantTerms(t, record, "epoch 1", "end 1")
	})
}

func TestElectorEndsWithAnError(t *testing.T) {
	tests := map[string]struct {
		lease  *coordinationv1.Lease
		work   work
		cancel time.Duration // when the context of Run ends
		down   time.Duration // when the API server goes away
		taken  time.Duration // when another process takes the Lease
		within time.Duration
		want   error
		text   string
		holder string // of the Lease at the end
		stale  bool
		terms  []string
	}{
		"a fenced term returns ErrFenced": {
			work:   work{isImmediate: true, err: store.ErrFenced},
			within: time.Second,
			want:   store.ErrFenced,
			terms:  []string{"epoch 1", "end 1"},
		},
		"another error of lead is returned": {
			work:   work{isImmediate: true, err: io.ErrShortWrite},
			within: time.Second,
			want:   io.ErrShortWrite,
			terms:  []string{"epoch 1", "end 1"},
		},
		"a term that ends by itself is an error": {
			work:   work{isImmediate: true},
			within: time.Second,
			text:   "the term ended by itself",
			terms:  []string{"epoch 1", "end 1"},
		},
		"a restored database stops the elector": {
			lease:  heldLease("", "7"),
			within: time.Second,
			want:   store.ErrRestored,
		},
		"a Lease that cannot be renewed is lost": {
			work:   work{drain: time.Hour},
			down:   time.Minute,
			within: 75 * time.Second,
			want:   leader.ErrLeaseLost,
			holder: "a",
			stale:  true,
			terms:  []string{"epoch 1"},
		},
		"a Lease that another process took is lost": {
			work:   work{drain: time.Hour},
			taken:  time.Minute,
			within: 63 * time.Second,
			want:   leader.ErrLeaseLost,
			text:   `held by "b"`,
			holder: "b",
			stale:  true,
			terms:  []string{"epoch 1"},
		},
		"a Lease may be lost while the term drains": {
			work:   work{drain: time.Hour},
			cancel: 30 * time.Second,
			taken:  31 * time.Second,
			within: 35 * time.Second,
			want:   leader.ErrLeaseLost,
			holder: "b",
			stale:  true,
			terms:  []string{"epoch 1"},
		},
		"a lead function that does not return keeps the Lease": {
			work:   work{drain: time.Hour},
			cancel: 30 * time.Second,
			within: 43 * time.Second,
			text:   "did not end within 12s",
			holder: "a",
			terms:  []string{"epoch 1"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kube := newKube()
				if test.lease != nil {
					kube = newKube(test.lease)
				}
				down := make(chan struct{})
				failLeases(kube, func() bool {
					select {
					case <-down:
						return true
					default:
						return false
					}
				})
				record := &terms{work: test.work}
				e := elect(t, kube, "a", &epochs{}, record)
				began := time.Now()
				after := func(d time.Duration, f func()) {
					if d > 0 {
						time.AfterFunc(d, f)
					}
				}
				after(test.cancel, e.cancel)
				after(test.down, func() { close(down) })
				after(test.taken, func() {
					if _, err := kube.CoordinationV1().Leases(leaseNS).Update(t.Context(), heldLease("b", "2"),
						metav1.UpdateOptions{}); err != nil {
						t.Error(err)
					}
				})
				err := e.end(t)
				if took := time.Since(began); took > test.within {
					t.Errorf("Run returned after %s, want %s at most", took, test.within)
				}
				if err == nil || test.want != nil && !errors.Is(err, test.want) ||
					!strings.Contains(err.Error(), test.text) {
					t.Errorf("Run: %v, want %v %q", err, test.want, test.text)
				}
				if e.Stale() != test.stale {
					t.Errorf("stale: %v", e.Stale())
				}
				wantTerms(t, record, test.terms...)
				if test.down == 0 {
					if holder := *readLease(t, kube).Spec.HolderIdentity; holder != test.holder {
						t.Errorf("the Lease is held by %q at the end, want %q", holder, test.holder)
					}
				}
				time.Sleep(2 * time.Hour) // until every lead function has returned
			})
		})
	}
}

func TestElectorStandby(t *testing.T) {
	tests := map[string]struct {
		seconds int32 // duration of the Lease; default 15
		change  func(*leader.Config)
		within  time.Duration // the standby leads by then; the holder of the Lease renews no more
		not     time.Duration // the standby does not lead until then
	}{
		"a standby waits until the Lease has expired": {not: 14 * time.Second, within: 20 * time.Second},
		"TakeImmediately takes the Lease without waiting": {
			change: func(c *leader.Config) { c.TakeImmediately = true },
			within: time.Second,
		},
		"a standby waits for the duration on the Lease": {
			seconds: 6,
			not:     5900 * time.Millisecond,
			within:  11 * time.Second,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				lease := heldLease("b", "41")
				if test.seconds > 0 {
					lease.Spec.LeaseDurationSeconds = &test.seconds
				}
				kube, db, record := newKube(lease), &epochs{epoch: 41}, &terms{}
				var change []func(*leader.Config)
				if test.change != nil {
					change = append(change, test.change)
				}
				e := elect(t, kube, "a", db, record, change...)
				sleep(test.not)
				wantTerms(t, record)
				if e.Fresh() || e.Stale() {
					t.Error("a standby has a term")
				}
				sleep(test.within - test.not)
				wantTerms(t, record, "epoch 42")
				if got := readLease(t, kube).Annotations[v1alpha1.AnnotationEpoch]; got != "42" {
					t.Errorf("epoch %q on the Lease", got)
				}
				e.cancel()
				if err := e.end(t); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestElectorTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube, db, first, second := newKube(), &epochs{}, &terms{}, &terms{}
		a := elect(t, kube, "a", db, first)
		sleep(time.Second)
		b := elect(t, kube, "b", db, second)
		sleep(time.Minute)
		wantTerms(t, second)
		a.cancel()
		if err := a.end(t); err != nil {
			t.Fatal(err)
		}
		sleep(5 * time.Second) // the Lease was released, so b does not wait for its duration
		wantTerms(t, second, "epoch 2")
		b.cancel()
		b.end(t)
	})
}

func TestElectorWithoutDatabase(t *testing.T) {
	away := fmt.Errorf("%w: refused", store.ErrUnavailable)
	tests := map[string]struct {
		err  error
		hang bool
	}{
		"the database rejects connections": {err: away},
		"the database does not answer":     {hang: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kube, db, record := newKube(), &epochs{}, &terms{}
				var hang chan struct{}
				if test.hang {
					hang = make(chan struct{})
				}
				e := elect(t, kube, "a", db, record)
				sleep(time.Minute)
				db.set(test.err, hang)
				sleep(10 * time.Second)
				since, isAway := e.DatabaseAway()
				if ago := time.Since(since); !isAway || ago < 8*time.Second || ago > 10*time.Second {
					t.Errorf("after ten seconds: away %v since %s", isAway, ago)
				}
				wantTerms(t, record, "epoch 1")
				sleep(9 * time.Second)
				wantTerms(t, record, "epoch 1", "end 1")
				if holder := *readLease(t, kube).Spec.HolderIdentity; holder != "" {
					t.Errorf("the Lease was not given up: held by %q", holder)
				}
				sleep(time.Hour)
				wantTerms(t, record, "epoch 1", "end 1")

				db.set(nil, nil)
				if hang != nil {
					close(hang)
				}
				sleep(5 * time.Second)
				wantTerms(t, record, "epoch 1", "end 1", "epoch 2")
				if _, isAway := e.DatabaseAway(); isAway {
					t.Error("still away")
				}
				e.cancel()
				if err := e.end(t); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestElectorWaitsForAHungTerm: a term that waits for a silent database delays the next term. It does not keep the
// Lease.
func TestElectorWaitsForAHungTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube, db, record, hang := newKube(), &epochs{}, &terms{work: work{drain: time.Minute}}, make(chan struct{})
		e := elect(t, kube, "a", db, record)
		sleep(time.Minute)
		db.set(nil, hang)
		sleep(32 * time.Second) // a lease duration, the drain timeout, and a little
		if holder := *readLease(t, kube).Spec.HolderIdentity; holder != "" {
			t.Errorf("the Lease was not given up: held by %q", holder)
		}
		if e.Stale() {
			t.Error("the term is stale")
		}
		db.set(nil, nil)
		close(hang)
		sleep(30 * time.Second)
		wantTerms(t, record, "epoch 1")
		sleep(30 * time.Second)
		wantTerms(t, record, "epoch 1", "end 1", "epoch 2")
		e.cancel()
		sleep(time.Minute)
	})
}

func TestElectorOutlivesAShortOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kube, db, record := newKube(), &epochs{err: store.ErrUnavailable}, &terms{}
		e := elect(t, kube, "a", db, record)
		sleep(time.Minute)
		if _, err := kube.CoordinationV1().Leases(leaseNS).Get(t.Context(), leaseOf,
			metav1.GetOptions{}); !apierrors.IsNotFound(
			err,
		) {
			t.Errorf("the elector campaigned without a database: %v", err)
		}
		db.set(nil, nil)
		sleep(3 * time.Second)
		db.set(store.ErrUnavailable, nil)
		sleep(12 * time.Second)
		db.set(nil, nil)
		sleep(time.Minute)
		wantTerms(t, record, "epoch 1")
		e.cancel()
		if err := e.end(t); err != nil {
			t.Error(err)
		}
	})
}

// TestElectorKeepsTheEpoch: a deleted Lease returns with its epoch, and labels of others stay.
func TestElectorKeepsTheEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lease := heldLease("", "5")
		lease.Labels = map[string]string{"theirs": "kept"}
		kube, db, record := newKube(lease), &epochs{epoch: 3}, &terms{}
		e := elect(t, kube, "a", db, record, func(c *leader.Config) { c.AcceptRestored = true })
		sleep(10 * time.Second)
		wantTerms(t, record, "epoch 6")
		if got := readLease(t, kube).Labels["theirs"]; got != "kept" {
			t.Error("a label of others is gone")
		}
		if err := kube.CoordinationV1().Leases(leaseNS).Delete(
			t.Context(), leaseOf, metav1.DeleteOptions{},
		); err != nil {
			t.Fatal(err)
		}
		sleep(10 * time.Second)
		if got := readLease(t, kube).Annotations[v1alpha1.AnnotationEpoch]; got != "6" {
			t.Errorf("epoch %q on the new Lease", got)
		}
		wantTerms(t, record, "epoch 6")
		e.cancel()
		e.end(t)
	})
}

func TestNewElectorRefuses(t *testing.T) {
	for name, d := range map[string]time.Duration{
		"a duration below three seconds":          2 * time.Second,
		"a duration that is not in whole seconds": 3500 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := leader.New(leader.Config{
				Leases: fake.NewClientset().CoordinationV1(), ID: "c", Namespace: "n", Holder: "h", Epochs: &epochs{},
				Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler), LeaseDuration: d,
			})
			if err == nil {
				t.Errorf("%s is accepted", d)
			}
		})
	}
	if _, err := leader.New(leader.Config{LeaseDuration: 3 * time.Second}); err == nil {
		t.Error("an empty configuration is accepted")
	}
}

// TestElectorOnARealAPIServer checks conflicts, resourceVersions and the annotation on a real API server.
func TestElectorOnARealAPIServer(t *testing.T) {
	kube := clustertest.Kube(t)
	id := fmt.Sprintf("t%09d", time.Now().UnixNano()%1e9)
	leases := kube.CoordinationV1().Leases(metav1.NamespaceDefault)
	t.Cleanup(func() {
		if err := leases.Delete(context.Background(), "kontroler-"+id, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	db := &epochs{}
	start := func(holder string, immediately bool, led chan int64) (context.CancelFunc, chan error) {
		elector, err := leader.New(leader.Config{
			Leases: kube.CoordinationV1(), ID: id, Namespace: metav1.NamespaceDefault, Holder: holder,
			LeaseDuration: 3 * time.Second, TakeImmediately: immediately,
			Epochs: db, Metrics: noMetrics{}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			ended <- elector.Run(ctx, func(ctx context.Context, epoch int64) error {
				led <- epoch
				<-ctx.Done()
				return nil
			})
		}()
		return cancel, ended
	}
	led := make(chan int64, 2)
	cancelA, endedA := start("a", false, led)
	defer cancelA()
	if epoch := <-led; epoch != 1 {
		t.Errorf("a leads in epoch %d", epoch)
	}
	cancelB, endedB := start("b", true, led)
	if epoch := <-led; epoch != 2 {
		t.Errorf("b leads in epoch %d", epoch)
	}
	if err := <-endedA; !errors.Is(err, leader.ErrLeaseLost) {
		t.Errorf("a, whose Lease was taken: %v", err)
	}
	cancelB()
	if err := <-endedB; err != nil {
		t.Errorf("b, after its context ended: %v", err)
	}
	lease, err := leases.Get(t.Context(), "kontroler-"+id, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if *lease.Spec.HolderIdentity != "" || lease.Annotations[v1alpha1.AnnotationEpoch] != "2" {
		t.Errorf("at the end: held by %q, epoch %q",
			*lease.Spec.HolderIdentity, lease.Annotations[v1alpha1.AnnotationEpoch])
	}
}
