package harness

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kontroler/apis/kontroler/v1alpha1"
)

// Scene is a run during which a controller dies, and its expected result.
type Scene struct {
	Tasks      []v1alpha1.Task
	parameters []v1alpha1.ParameterValue
	// during acts on the cluster while the controller runs that will die.
	during func(w *World)
	// phase is the final phase of the run, event the reason of its only Event. It is empty if the DagRun is deleted.
	phase, event string
	Outcomes     map[string]string
	Effects      []string
}

// TheRun is the name of the run of a scene.
const TheRun = "run"

// Scenes returns all scenes by name. marked makes their tasks.
func Scenes(marked TaskMaker) map[string]Scene {
	return map[string]Scene{
		"diamond": diamondScene(marked), "long": longScene(marked), "timeout": timeoutScene(marked),
		"failure": failureScene(marked), "refused": refusedScene(marked), "stripped": strippedScene(marked),
		"cancel": stoppedScene(marked, "UserCancelled", func(w *World) { w.Cancel(TheRun) }),
		"delete": stoppedScene(marked, "", func(w *World) { w.Kubectl("delete", "dagrun", TheRun) }),
	}
}

// SceneOf is the scene that a fault names: "[scene ]point[:time]", and the diamond where it names none.
func SceneOf(fault string, marked TaskMaker) Scene {
	name, _, named := strings.Cut(fault, " ")
	if !named {
		name = "diamond"
	}
	return Scenes(marked)[name]
}

// diamondScene is a diamond with a retry: its Pods are created in the order a; b and c; b again; d.
func diamondScene(marked TaskMaker) Scene {
	return Scene{
		Tasks: []v1alpha1.Task{marked("a", ""), marked("b", Once("b", "exit 3"), After("a"), Retries(1)),
			marked("c", "", After("a")), marked("d", "", After("b", "c"))},
		phase: "Succeeded", event: "Succeeded", Effects: []string{"a", "b", "c", "d"},
		Outcomes: map[string]string{"a": "Succeeded", "b": "Succeeded 2", "c": "Succeeded", "d": "Succeeded"},
	}
}

// timeoutScene is a run with a timeout and then a retry.
func timeoutScene(marked TaskMaker) Scene {
	return Scene{
		Tasks: []v1alpha1.Task{marked("slow", Once("slow", Forever), Timeout(5), Retries(1)),
			marked("child", "", After("slow"))},
		phase: "Succeeded", event: "Succeeded", Effects: []string{"slow", "child"},
		Outcomes: map[string]string{"slow": "Succeeded 2", "child": "Succeeded"},
	}
}

// stoppedScene is a run that is stopped while its second task runs.
func stoppedScene(marked TaskMaker, event string, stop func(*World)) Scene {
	return Scene{
		Tasks: []v1alpha1.Task{marked("done", ""), marked("live", Forever, After("done")),
			marked("never", "", After("live"))},
		during: func(w *World) {
			w.WaitStarted(2)
			stop(w)
		},
		phase: "Cancelled", event: event, Effects: []string{"done"},
		Outcomes: map[string]string{"done": "Succeeded", "live": "Cancelled 1", "never": "Cancelled"},
	}
}

// failureScene is a run with a task that fails finally, whose descendants are skipped.
func failureScene(marked TaskMaker) Scene {
	return Scene{
		Tasks: []v1alpha1.Task{marked("bad", "exit 1"), marked("good", ""), marked("child", "", After("bad", "good")),
			marked("grandchild", "", After("child"))},
		phase: "Failed", event: "TaskFailed", Effects: []string{"good"},
		Outcomes: map[string]string{"bad": "Failed", "good": "Succeeded", "child": "Skipped", "grandchild": "Skipped"},
	}
}

// refusedScene is a run that is not admitted.
func refusedScene(marked TaskMaker) Scene {
	value := "x"
	return Scene{
		Tasks:      []v1alpha1.Task{marked("never", "")},
		parameters: []v1alpha1.ParameterValue{{Name: "unknown", Value: &value}},
		phase:      "Failed", event: "InvalidParameters", Outcomes: map[string]string{},
	}
}

// strippedScene is a run with a live Pod that loses its labels.
func strippedScene(marked TaskMaker) Scene {
	return Scene{
		Tasks: []v1alpha1.Task{marked("live", Until("go")), marked("child", "", After("live"))},
		during: func(w *World) {
			w.WaitStarted(1)
			pod := w.WaitPod(TheRun, "live", Running)
			w.Kubectl("label", "pod", pod.Name, v1alpha1.LabelController+"-", v1alpha1.LabelRun+"-")
			w.Open("go")
		},
		phase: "Succeeded", event: "Succeeded", Effects: []string{"live", "child"},
		Outcomes: map[string]string{"live": "Succeeded", "child": "Succeeded"},
	}
}

// longScene is a diamond with a retry, followed by a chain. It has Pods to create and to reap for many controllers that
// are killed one after the other.
func longScene(marked TaskMaker) Scene {
	s := diamondScene(marked)
	parent := "d"
	for i := 1; i <= 8; i++ {
		name := fmt.Sprintf("e%d", i)
		s.Tasks = append(s.Tasks, marked(name, "", After(parent)))
		s.Effects = append(s.Effects, name)
		s.Outcomes[name] = "Succeeded"
		parent = name
	}
	return s
}

// Prepare applies the DAG of a scene and its run.
func (w *World) Prepare(s Scene) {
	w.T.Helper()
	w.Apply(w.Manifest("DAG", "dag", v1alpha1.DAGSpec{Task: s.Tasks}) +
		w.Manifest("DagRun", TheRun, v1alpha1.DagRunSpec{DagName: "dag", Parameters: s.parameters}))
}

// DieIn is DieAt while the scene acts.
func (w *World) DieIn(s Scene, fault string) {
	w.T.Helper()
	w.DieAt(fault, func() {
		if s.during != nil {
			s.during(w)
		}
	})
}

// KilledAt kills a controller with SIGKILL at a crash point of a scene, "[scene ]point[:time]", and checks that the
// next one finishes the run with the expected result.
func (w *World) KilledAt(s Scene, fault string) {
	w.T.Helper()
	w.Prepare(s)
	w.DieIn(s, fault)
	w.Controller(TakeOver)
	w.CheckScene(s)
}

// KilledOnTheWay kills a controller when it first reaches a crash point in a scene. If it does not reach it, the
// controller is killed after the end of the run. The next one starts immediately, while the scene still acts.
func (w *World) KilledOnTheWay(s Scene, point string) {
	w.T.Helper()
	w.Prepare(s)
	c, _ := w.LaunchFaulty("kill:" + point + ":1")
	next := make(chan struct{})
	go func() {
		defer close(next)
		<-c.exited
		w.Launch(TakeOver)
	}()
	if s.during != nil {
		s.during(w)
	}
	w.Eventually("the run to end", Patience, func(context.Context) (bool, string) {
		row, _ := w.TryRun(TheRun)
		return v1alpha1.RunPhase(row.Phase).Ended(), row.Phase
	})
	select {
	case <-c.exited:
	case <-time.After(5 * time.Second): // some points follow the end of the run
		c.Kill9()
	}
	<-next
	w.CheckScene(s)
}

// CheckScene waits until the run of a scene has ended and checks its rows, side effects, starts and Event.
func (w *World) CheckScene(s Scene) {
	w.T.Helper()
	row := w.CheckFinal(TheRun, s.phase, s.Outcomes)
	w.CheckOnce(s.Effects...)
	w.CheckStarts(TheRun)
	for _, task := range w.Tasks(TheRun) {
		// If the DagRun was deleted, the garbage collector deletes Pods too.
		if task.Restarts != 0 && s.event != "" {
			w.T.Errorf("task %s has %d restarts, but a crash of the controller must not cost one",
				task.Name, task.Restarts)
		}
	}
	w.CheckEvent(row.UID, s.event)
}
