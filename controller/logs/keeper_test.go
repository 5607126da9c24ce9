package logs_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/store"
)

const (
	limit = 1 << 20
	// removed is what a kubelet answers that has no log.
	removed = "unable to retrieve container logs for containerd://abc"
	// What rows say of failures.
	noLog   = "there is no log: the kubelet says: " + removed
	noRoute = `node n did not serve it: an error on the server ("no route") has prevented the request ` +
		`from succeeding (get pods p)`
	notFound = "there is no log: the server could not find the requested resource (get pods p)"
	withPod  = ": the Pod was deleted, and the kubelet removed its container before the log was read"
)

// Logs that are read once their container has ended.
func TestKeepCapturesALog(t *testing.T) {
	d := newDatabase(t)
	for name, test := range map[string]struct {
		answers  []answer
		pod      func(*corev1.Pod) // changes the Pod of a container that has ended
		attempt  func(*store.Attempt)
		policy   v1alpha1.LogPolicy
		noLimit  bool
		want     storedLog
		requests int
		waited   time.Duration
	}{
		"the log of a container that ran is stored": {
			answers: []answer{{body: line(1, "a") + line(2, "b")}}, requests: 1,
			want: storedLog{State: store.LogCaptured, Content: "a\nb\n"},
		},
		"a container that wrote nothing has an empty log": {
			answers: []answer{{}}, requests: 1,
			want: storedLog{State: store.LogCaptured},
		},
		"a container that the row does not know to have started has a log, by its Pod": {
			attempt: func(a *store.Attempt) { a.StartedAt = time.Time{} },
			answers: []answer{{body: line(1, "a")}}, requests: 1,
			want: storedLog{State: store.LogCaptured, Content: "a\n"},
		},
		"a container that did not start has no log": {
			attempt: func(a *store.Attempt) { a.StartedAt = time.Time{} },
			pod:     func(p *corev1.Pod) { p.Status.ContainerStatuses = nil },
		},
		"a Pod that no node was found for has no log": {pod: func(p *corev1.Pod) { p.Spec.NodeName = "" }},
		"a DAG may switch logs off":                   {policy: v1alpha1.LogsOff},
		"a controller may switch logs off":            {noLimit: true},
		"a read from a kubelet that has just started is retried": {
			answers:  []answer{{body: removed}, {status: http.StatusBadRequest}, {body: line(1, "a")}},
			requests: 3, waited: 2 * time.Second,
			want: storedLog{State: store.LogCaptured, Content: "a\n"},
		},
		"a log that its node does not have is lost after three seconds": {
			answers: []answer{{body: removed}}, requests: 4, waited: 3 * time.Second,
			want: storedLog{State: store.LogLost, Message: noLog},
		},
		"the row of a log that was removed with a deleted Pod says so": {
			pod: markDeleted, answers: []answer{{body: removed}}, requests: 4, waited: 3 * time.Second,
			want: storedLog{State: store.LogLost, Message: noLog + withPod},
		},
		"a read from a node that fails is retried": {
			answers:  []answer{{status: http.StatusInternalServerError}, {body: line(1, "a")}},
			requests: 2, waited: 5 * time.Second,
			want: storedLog{State: store.LogCaptured, Content: "a\n"},
		},
		"a log is lost if its node fails for two minutes": {
			answers:  []answer{{status: http.StatusInternalServerError, body: "no route"}},
			requests: 25, waited: 2 * time.Minute,
			want: storedLog{State: store.LogLost, Message: noRoute},
		},
		"a read from a node that is lost is not retried": {
			attempt: func(a *store.Attempt) { a.Reason = engine.ReasonNodeLost },
			answers: []answer{{status: http.StatusInternalServerError, body: "no route"}}, requests: 1,
			want: storedLog{State: store.LogLost, Message: noRoute},
		},
		"what was read of a log that breaks off each time is stored": {
			answers: []answer{{body: line(1, "a"), breaks: true}}, requests: 25, waited: 2 * time.Minute,
			want: storedLog{
				State: store.LogCaptured, Content: "a\n", Incomplete: true,
				Message: "reading ended early: unexpected EOF",
			},
		},
		"a log that begins late may have lost its beginning": {
			attempt: func(a *store.Attempt) { a.FinishedAt = start.Add(time.Minute) },
			answers: []answer{{body: line(30, "a")}}, requests: 1,
			want: storedLog{State: store.LogCaptured, Content: "a\n", Rotated: true,
				Message: "the log begins 30s after its container: earlier lines may have been rotated away"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := int64(limit)
			if test.noLimit {
				most = 0
			}
			w := newWorld(t, d, most, test.answers...)
			w.policy = test.policy
			if test.attempt != nil {
				test.attempt(&w.attempt)
			}
			p := w.endedPod()
			if test.pod != nil {
				test.pod(p)
			}
			waited := w.keep(p)
			if diff := cmp.Diff(test.want, w.stored()); diff != "" {
				t.Errorf("stored log (-want +got):\n%s", diff)
			}
			if requests := len(w.since()); requests != test.requests || waited != test.waited {
				t.Errorf("%d requests in %s, want %d in %s", requests, waited, test.requests, test.waited)
			}
		})
	}
}

func TestKeepReadsALogOnce(t *testing.T) {
	w := newWorld(t, newDatabase(t), limit, answer{body: line(1, "a")}, answer{body: line(1, "another")})
	p := w.endedPod()
	w.keep(p)
	w.keep(p)
	if diff := cmp.Diff(storedLog{State: store.LogCaptured, Content: "a\n"}, w.stored()); diff != "" {
		t.Errorf("stored log (-want +got):\n%s", diff)
	}
	if requests := len(w.since()); requests != 1 {
		t.Errorf("%d requests, want 1", requests)
	}
}

func TestKeepReturnsTheErrorOfThePolicy(t *testing.T) {
	w := newWorld(t, newDatabase(t), limit, answer{})
	w.policyErr = errors.New("the database is away")
	p := w.endedPod()
	if done, err := w.keeper.Keep(t.Context(), p, w.runUID(), w.attempt); done || !errors.Is(err, w.policyErr) {
		t.Errorf("done: %t, error %v", done, err)
	}
}

func TestKeepNeedsNoLogOfARunThatIsNotThere(t *testing.T) {
	w := newWorld(t, newDatabase(t), limit, answer{})
	p := w.endedPod()
	if done, err := w.keeper.Keep(t.Context(), p, uid(999), w.attempt); !done || err != nil {
		t.Errorf("done: %t, error %v", done, err)
	}
}

// The log of a Pod that somebody deletes while it runs. When its stream begins to read, the Pod is gone.
func TestALogIsStreamedBeforeItsPodIsGone(t *testing.T) {
	d := newDatabase(t)
	for name, test := range map[string]struct {
		answers []answer
		want    storedLog
		since   string // of the last request
	}{
		"a log that is read to its end is whole": {
			answers: []answer{{body: line(1, "a") + line(2, "b")}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n"},
		},
		"a container that wrote nothing has an empty log": {
			answers: []answer{{}},
			want:    storedLog{State: store.LogCaptured},
		},
		"a stream that breaks inside a line continues there": {
			answers: []answer{
				{body: line(1, "a") + line(2, "bef")[:len(line(2, "bef"))-1], breaks: true},
				{body: line(2, "before") + line(3, "c")},
			},
			want: storedLog{State: store.LogCaptured, Content: "a\nbefore\nc\n"}, since: "2026-03-01T12:00:02Z",
		},
		"a log that is removed after its stream broke is incomplete": {
			answers: []answer{{body: line(1, "a"), breaks: true}, {body: removed}},
			want: storedLog{
				State: store.LogCaptured, Content: "a\n", Incomplete: true,
				Message: "the stream ended early: unexpected EOF",
			},
			since: "2026-03-01T12:00:01Z",
		},
		"a log that was removed before it was read is lost": {
			answers: []answer{{body: removed}},
			want:    storedLog{State: store.LogLost, Message: noLog + withPod},
		},
		"a log whose Pod was gone before it was read is lost": {
			answers: []answer{{status: http.StatusNotFound}},
			want:    storedLog{State: store.LogLost, Message: notFound + withPod},
		},
		"a read from a node that fails is retried": {
			answers: []answer{{status: http.StatusInternalServerError}, {body: line(1, "a")}},
			want:    storedLog{State: store.LogCaptured, Content: "a\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, d, limit, test.answers...)
			p := w.pod()
			markDeleted(p)
			w.keeper.OpenDeleted(w.pod(), p)
			w.awaitStream()
			w.keep(p)
			if diff := cmp.Diff(test.want, w.stored()); diff != "" {
				t.Errorf("stored log (-want +got):\n%s", diff)
			}
			if since := w.since(); since[0] != "" || since[len(since)-1] != test.since {
				t.Errorf("the kubelet was asked for lines since %q, want %q in the end", since, test.since)
			}
		})
	}
}

// The log of a DAG with logs: follow. Its container ends before the first answer does.
func TestALogIsFollowed(t *testing.T) {
	d := newDatabase(t)
	const rotated = "the node rotated the log while it was followed: lines may be missing or repeated there"
	a, b, c := line(1, "a"), line(2, "b"), line(3, "c")
	for name, test := range map[string]struct {
		answers []answer
		want    storedLog
	}{
		"a log that its node still has from the first line on is whole": {
			answers: []answer{{body: a + b, meanwhile: terminate}, {body: b}, {body: a}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n"},
		},
		"lines that were written after the stream ended are read": {
			answers: []answer{{body: a, meanwhile: terminate}, {body: a + b}, {body: a}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n"},
		},
		"a log whose first line its node no longer has was rotated": {
			answers: []answer{{body: a + b, meanwhile: terminate}, {body: b + c}, {body: b}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\nc\n", Incomplete: true, Message: rotated},
		},
		// The kubelet rotates the file after its last line: what it serves then is empty.
		"a log that its node no longer has a line of was rotated": {
			answers: []answer{{body: a + b, meanwhile: terminate}, {body: ""}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n", Incomplete: true, Message: rotated},
		},
		"a log that is rotated to nothing after its stream broke was rotated": {
			answers: []answer{{body: a + b, breaks: true, meanwhile: terminate}, {body: ""}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n", Incomplete: true, Message: rotated},
		},
		"a log that was read to its end before it was removed with a deleted Pod is whole": {
			answers: []answer{{body: a + b, meanwhile: terminateDeleted}, {status: http.StatusNotFound}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n"},
		},
		"a deleted Pod's log that is empty when it is read again was removed, not rotated": {
			answers: []answer{{body: a + b, meanwhile: terminateDeleted}, {body: ""}},
			want:    storedLog{State: store.LogCaptured, Content: "a\nb\n"},
		},
		"a log that the node of an existing Pod no longer has is incomplete": {
			answers: []answer{{body: a, meanwhile: terminate}, {status: http.StatusNotFound}},
			want: storedLog{State: store.LogCaptured, Content: "a\n", Incomplete: true,
				Message: "the stream ended early: " + notFound},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, d, limit, test.answers...)
			p := w.pod()
			w.follow(p)
			w.awaitStream()
			w.keep(p)
			if diff := cmp.Diff(test.want, w.stored()); diff != "" {
				t.Errorf("stored log (-want +got):\n%s", diff)
			}
		})
	}
}

// Container and stream go on after the attempt has ended, as with a node whose reports do not arrive.
func TestAStreamIsCutOffAMinuteAfterItsAttempt(t *testing.T) {
	a, b := line(1, "a"), line(2, "b")
	w := newWorld(t, newDatabase(t), limit, answer{body: a, hangs: true}, answer{body: a + b}, answer{body: a})
	p := w.pod()
	w.follow(p)
	w.awaitRequest()
	for _, want := range []time.Duration{time.Minute, time.Second} {
		if done, err := w.keeper.Keep(t.Context(), p, w.runUID(), w.attempt); done || err != nil {
			t.Fatalf("done: %t, error %v", done, err)
		}
		if delay := w.moveOn(); delay != want {
			t.Errorf("enqueued after %s, want %s", delay, want)
		}
	}
	w.awaitStream()
	w.keep(p)
	if diff := cmp.Diff(storedLog{State: store.LogCaptured, Content: "a\nb\n"}, w.stored()); diff != "" {
		t.Errorf("stored log (-want +got):\n%s", diff)
	}
}

func TestForgetEndsTheStreamOfAPod(t *testing.T) {
	w := newWorld(t, newDatabase(t), limit, answer{body: line(1, "a"), hangs: true})
	p := w.pod()
	w.follow(p)
	w.awaitRequest()
	if streams := w.metrics.streams.Load(); streams != 1 {
		t.Fatalf("%d streams", streams)
	}
	w.keeper.Forget(p)
	w.awaitStream()
	if streams := w.metrics.streams.Load(); streams != 0 {
		t.Errorf("%d streams", streams)
	}
}

// The watch may show that a Pod is gone after the cache was read. Nothing of the Pod stays.
func TestForgetBeforeSomethingIsRemembered(t *testing.T) {
	d := newDatabase(t)
	for name, test := range map[string]struct {
		answer answer
		before func(*world, *corev1.Pod)
	}{
		"a stream that follows": {answer{body: line(1, "a")}, func(w *world, p *corev1.Pod) {
			w.keeper.Follow(v1alpha1.LogsFollow, p.Namespace, slices.Values([]string{p.Name}))
			w.awaitStream()
		}},
		"a stream before a deletion": {answer{body: line(1, "a")}, func(w *world, p *corev1.Pod) {
			deletes := []engine.Delete{{PodName: p.Name, PodUID: string(p.UID)}}
			w.keeper.OpenBefore(w.Context(), "", p.Namespace, deletes)
			w.awaitStream()
		}},
		"a failure": {answer{status: http.StatusNotFound}, func(w *world, p *corev1.Pod) {
			if done, err := w.keeper.Keep(w.Context(), p, w.runUID(), w.attempt); done || err != nil {
				t.Errorf("done: %t, %v", done, err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, d, limit, test.answer)
			p := w.pod()
			w.pods.set(p)
			w.pods.afterNextGet(func() {
				w.pods.remove(p)
				w.keeper.Forget(p)
			})
			test.before(w, p)
			if n := w.keeper.Remembers(); n != 0 {
				t.Errorf("%d entries of the Pod are left", n)
			}
		})
	}
}

// A stream that lacks a part of a log, because the memory for streams was spent, is stored if the node has no more.
func TestALogWhoseStreamIsShort(t *testing.T) {
	const small = 1 << 10 // blocks of 128 bytes
	served, content := "", ""
	for i := range 8 {
		text := fmt.Sprint(i, strings.Repeat("x", 99))
		served, content = served+line(i, text), content+text+"\n"
	}
	const said = "640 bytes after the first 128 are omitted: the memory for streams was short"
	whole := storedLog{State: store.LogCaptured, Content: content}
	short := storedLog{State: store.LogCaptured, Content: content[:128] + content[768:], Message: said}
	d := newDatabase(t)
	for name, test := range map[string]struct {
		meanwhile func(*corev1.Pod)
		captured  answer
		want      storedLog
	}{
		"its node keeps the log": {terminate, answer{body: served}, whole},
		"its node has lost it":   {terminate, answer{status: http.StatusNotFound}, short},
		"the Pod is deleted":     {terminateDeleted, answer{body: served}, short},
	} {
		t.Run(name, func(t *testing.T) {
			first := answer{body: line(0, "")}
			w := newWorld(t, d, small,
				answer{body: served, meanwhile: test.meanwhile}, answer{body: served}, first, test.captured)
			w.keeper.SpendBudget()
			p := w.pod()
			w.follow(p)
			w.awaitStream()
			cached, _ := w.pods.Get(cache.MetaObjectToName(p))
			w.keep(cached)
			if diff := cmp.Diff(test.want, w.stored()); diff != "" {
				t.Errorf("stored log (-want +got):\n%s", diff)
			}
		})
	}
}

// A stream that panics has perhaps not kept all that it read.
func TestTheLogOfAStreamThatPanickedIsCaptured(t *testing.T) {
	w := newWorld(t, newDatabase(t), limit, answer{body: line(1, "a")}, answer{body: line(1, "a") + line(2, "b")})
	p := w.pod()
	w.pods.onGet = func() {
		if len(w.since()) == 1 {
			panic("after the first answer")
		}
	}
	w.follow(p)
	w.awaitStream()
	select {
	case <-w.failures:
	default:
		t.Error("the panic was not reported")
	}
	w.pods.onGet = nil
	w.keep(p)
	if diff := cmp.Diff(storedLog{State: store.LogCaptured, Content: "a\nb\n"}, w.stored()); diff != "" {
		t.Errorf("stored log (-want +got):\n%s", diff)
	}
}

// Somebody removes the finalizer of a Pod while its log is stored. The watch shows its deletion.
func TestForgetWhileALogIsStored(t *testing.T) {
	d := newDatabase(t)
	for range 10 {
		w := newWorld(t, d, limit, answer{body: line(1, "a"), meanwhile: terminate}, answer{body: line(1, "a")})
		p := w.pod()
		w.follow(p)
		w.awaitStream()
		var forgetting sync.WaitGroup
		w.onPolicy = func() { forgetting.Go(func() { w.keeper.Forget(p) }) }
		w.keep(p)
		forgetting.Wait()
		if diff := cmp.Diff(storedLog{State: store.LogCaptured, Content: "a\n"}, w.stored()); diff != "" {
			t.Errorf("stored log (-want +got):\n%s", diff)
		}
	}
}

func TestOpenBeforeWaitsUntilTheNodeAnswers(t *testing.T) {
	w := newWorld(t, newDatabase(t), limit, answer{body: line(1, "a"), hangs: true})
	p := w.pod()
	w.pods.set(p)
	w.keeper.OpenBefore(t.Context(), "", p.Namespace, []engine.Delete{{PodName: p.Name, PodUID: string(p.UID)}})
	if requests := len(w.since()); requests != 1 {
		t.Errorf("%d requests before the Pod may be deleted, want 1", requests)
	}
}

func TestWhichPodsGetAStream(t *testing.T) {
	d := newDatabase(t)
	byDeletion := func(p *corev1.Pod, w *world) { w.keeper.OpenDeleted(w.pod(), p) }
	byAddition := func(p *corev1.Pod, w *world) { w.keeper.OpenDeleted(nil, p) }
	byUpdate := func(p *corev1.Pod, w *world) { w.keeper.OpenDeleted(p, p) }
	another := func(p *corev1.Pod) { p.UID = "another" }
	unstarted := func(p *corev1.Pod) { p.Status.ContainerStatuses = nil }
	before := func(policy v1alpha1.LogPolicy) func(*corev1.Pod, *world) {
		return func(p *corev1.Pod, w *world) {
			deletes := []engine.Delete{{PodName: p.Name, PodUID: w.runUID()}}
			w.keeper.OpenBefore(w.Context(), policy, p.Namespace, deletes)
		}
	}
	follow := func(policy v1alpha1.LogPolicy) func(*corev1.Pod, *world) {
		return func(p *corev1.Pod, w *world) {
			w.keeper.Follow(policy, p.Namespace, slices.Values([]string{p.Name, "not cached"}))
		}
	}
	for name, test := range map[string]struct {
		pod     func(*corev1.Pod)
		open    func(*corev1.Pod, *world)
		noLimit bool
		want    bool
	}{
		"a Pod that somebody deletes":                       {pod: markDeleted, open: byDeletion, want: true},
		"a new Pod that is deleted already":                 {pod: markDeleted, open: byAddition, want: true},
		"not a Pod that was known to be deleted":            {pod: markDeleted, open: byUpdate},
		"not a Pod that nobody deletes":                     {open: byDeletion},
		"not a deleted Pod whose container has ended":       {pod: terminateDeleted, open: byDeletion},
		"not a deleted Pod if the controller keeps no logs": {pod: markDeleted, open: byDeletion, noLimit: true},
		"a Pod that is about to be deleted":                 {open: before(v1alpha1.LogsCapture), want: true},
		"a Pod that is about to be deleted, by default":     {open: before(""), want: true},
		"not a Pod whose DAG switches logs off":             {open: before(v1alpha1.LogsOff)},
		"not a Pod that has the name of one to be deleted":  {pod: another, open: before("")},
		"not a Pod to be deleted whose container has ended": {pod: terminate, open: before("")},
		"a Pod of a DAG whose logs are followed":            {open: follow(v1alpha1.LogsFollow), want: true},
		"not a Pod of a DAG whose logs are captured":        {open: follow(v1alpha1.LogsCapture)},
		"not a followed Pod before its container runs":      {pod: unstarted, open: follow(v1alpha1.LogsFollow)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			most := int64(limit)
			if test.noLimit {
				most = 0
			}
			w := newWorld(t, d, most, answer{hangs: true})
			p := w.pod()
			if test.pod != nil {
				test.pod(p)
			}
			w.pods.set(p)
			test.open(p, w)
			if got := w.metrics.streams.Load() == 1; got != test.want {
				t.Errorf("has a stream: %t, want %t", got, test.want)
			}
		})
	}
}
