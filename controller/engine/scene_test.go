package engine_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kontroler/apis/dag"
	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/engine"
	"kontroler/store/transition"
)

// scene is one decision: a graph written as "a b<a c<a,b", changes to its snapshot, and the decision expected at
// second now.
type scene struct {
	graph    string
	spec     func(*v1alpha1.DAGSpec)
	snapshot func(*engine.Snapshot)
	now      int
	want     engine.Decision
}

type transitions = []transition.Transition

// startGrace is that of all scenes and worlds.
const startGrace = 5 * time.Minute

// compile makes a graph of "a b<a c<a,b".
func compile(t testing.TB, graph string, change func(*v1alpha1.DAGSpec)) *dag.Graph {
	t.Helper()
	spec := &v1alpha1.DAGSpec{}
	for _, word := range strings.Fields(graph) {
		name, parents, _ := strings.Cut(word, "<")
		task := v1alpha1.Task{Name: name}
		task.Image = "busybox"
		if parents != "" {
			task.RunAfter = strings.Split(parents, ",")
		}
		spec.Task = append(spec.Task, task)
	}
	if change != nil {
		change(spec)
	}
	g, faults := dag.Compile(spec)
	if len(faults) > 0 {
		t.Fatalf("the graph: %v", faults.ToAggregate())
	}
	return g
}

// newSnapshot returns the snapshot of a running run with all of its tasks, Waiting. The task at position n has id
// 10+n, its attempt has id 100+n.
func newSnapshot(g *dag.Graph) *engine.Snapshot {
	s := &engine.Snapshot{
		Graph: g, Run: engine.Run{
			Phase: engine.RunRunning, Total: g.Len(),
		}, Pods: map[string]*engine.Pod{}, Refusals: map[string]engine.Refusal{},
		StartLimits: engine.StartLimits{MaxStarts: 100, Slots: 100, StartGrace: startGrace},
		PodName:     func(task string, _, number int) string { return fmt.Sprintf("%s-%d", task, number) },
	}
	for i := range g.Len() {
		s.Tasks = append(
			s.Tasks,
			engine.Task{ID: int64(10 + i), Position: i, Phase: engine.TaskWaiting, Unmet: len(g.Parents(i))},
		)
	}
	return s
}

// count sets the run's counters.
func count(s *engine.Snapshot) {
	r := &s.Run
	for _, t := range s.Tasks {
		switch t.Phase {
		case engine.TaskWaiting:
			r.Waiting++
		case engine.TaskReady:
			r.Ready++
		case engine.TaskActive:
			r.Active++
		case engine.TaskSucceeded:
			r.Succeeded++
		case engine.TaskFailed:
			r.Failed++
		case engine.TaskSkipped:
			r.Skipped++
		case engine.TaskCancelled:
			r.Cancelled++
		}
	}
}

// setPhase gives tasks a phase.
func setPhase(s *engine.Snapshot, phase string, positions ...int) {
	for _, position := range positions {
		s.Tasks[position].Phase = phase
		if phase != engine.TaskWaiting && phase != engine.TaskSkipped {
			s.Tasks[position].Unmet = 0
		}
	}
}

// addAttempt gives a task a live attempt and returns it.
func addAttempt(s *engine.Snapshot, position int, phase string) *engine.Attempt {
	setPhase(s, engine.TaskActive, position)
	t := &s.Tasks[position]
	t.Attempts++
	name := s.Graph.Task(position).Name
	a := engine.Attempt{
		ID:      int64(100 + position),
		Task:    position,
		Number:  t.Attempts,
		Phase:   phase,
		PodName: fmt.Sprintf("%s-%d", name, t.Attempts),
	}
	if phase != engine.AttemptDecided {
		a.PodUID = "u"
	}
	if phase == engine.AttemptRunning {
		a.Started = at(-60)
	}
	s.Attempts = append(s.Attempts, a)
	return &s.Attempts[len(s.Attempts)-1]
}

// addExited gives a task a running attempt whose container has exited.
func addExited(s *engine.Snapshot, position int, exitCode int32) {
	a := addAttempt(s, position, engine.AttemptRunning)
	s.Pods[a.PodName] = pod(ended(exit(exitCode)))
}

func runScenes(t *testing.T, scenes map[string]scene) {
	t.Helper()
	for name, c := range scenes {
		t.Run(name, func(t *testing.T) {
			s := newSnapshot(compile(t, c.graph, c.spec))
			if c.snapshot != nil {
				c.snapshot(s)
			}
			if s.Run.Waiting+s.Run.Ready+s.Run.Active+s.Run.Succeeded == 0 {
				count(s)
			}
			got, err := engine.Decide(*s, at(c.now))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
