package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"kontroler/store/view"
)

// taskHandlers show the tasks of runs, their attempts, and the Events of their Pods.
type taskHandlers struct{ *base }

// taskView is a task. Reason and Message say why it is not running.
type taskView struct {
	Name    string `json:"name"`
	Phase   string `json:"phase"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	// Needs are the parents that have not succeeded. It is missing unless the task is Waiting.
	Needs      []string   `json:"needs,omitempty"`
	Attempts   int        `json:"attempts"`
	Retries    int        `json:"retries"`
	Restarts   int        `json:"restarts"`
	DueAt      *time.Time `json:"dueAt,omitempty"` // a Ready task may start from then on
	ReadyAt    *time.Time `json:"readyAt,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// attemptView is an attempt of a task: a Pod.
type attemptView struct {
	Number     int        `json:"number"`
	Phase      string     `json:"phase"`
	Reason     string     `json:"reason,omitempty"`
	Message    string     `json:"message,omitempty"`
	Stop       string     `json:"stop,omitempty"`
	PodName    string     `json:"podName"`
	PodUID     string     `json:"podUID,omitempty"`
	Node       string     `json:"node,omitempty"`
	ExitCode   *int32     `json:"exitCode,omitempty"`
	StrayUID   string     `json:"strayUID,omitempty"` // a Pod that appeared after the attempt had ended
	DecidedAt  time.Time  `json:"decidedAt"`
	CreatedAt  *time.Time `json:"createdAt,omitempty"`
	StartedAt  *time.Time `json:"startedAt,omitempty"`
	FinishedAt *time.Time `json:"finishedAt,omitempty"`
}

// podEventView is an Event of a Pod. Container is missing if it concerns the whole Pod.
type podEventView struct {
	Container string    `json:"container,omitempty"`
	Type      string    `json:"type"`
	Reason    string    `json:"reason"`
	Message   string    `json:"message"`
	Source    string    `json:"source"`
	Count     int       `json:"count"`
	FirstAt   time.Time `json:"firstAt"`
	LastAt    time.Time `json:"lastAt"`
}

// items is a list that is complete.
type items[T any] struct {
	Items []T `json:"items"`
}

func viewTask(t view.Task) taskView {
	return taskView{
		Name: t.Name, Phase: t.Phase, Reason: t.Reason, Message: t.Message, Attempts: t.Attempts, Retries: t.Retries,
		Restarts: t.Restarts, DueAt: optional(t.DueAt), ReadyAt: optional(t.ReadyAt), StartedAt: optional(t.StartedAt),
		FinishedAt: optional(t.FinishedAt),
	}
}

func viewAttempt(a view.Attempt) attemptView {
	return attemptView{
		Number: a.Number, Phase: a.Phase, Reason: a.Reason, Message: a.Message, Stop: a.Stop, PodName: a.PodName,
		PodUID: a.PodUID, Node: a.Node, ExitCode: a.ExitCode, StrayUID: a.StrayUID, DecidedAt: a.DecidedAt,
		CreatedAt: optional(a.CreatedAt), StartedAt: optional(a.StartedAt), FinishedAt: optional(a.FinishedAt),
	}
}

func viewPodEvent(e view.PodEvent) podEventView {
	return podEventView{e.Container, e.Type, e.Reason, e.Message, e.Source, e.Count, e.FirstAt, e.LastAt}
}

func (h taskHandlers) list(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	at, isFirst, limit, err := parsePosition[view.TaskPosition](values)
	if err != nil {
		return err
	}
	run, err := h.findRun(c)
	if err != nil {
		return err
	}
	read := h.views.Tasks
	if isFirst {
		at.Key = view.FirstTask
	} else if at.Backward {
		read = h.views.TasksBefore
	}
	tasks, err := read(c.Context(), run.ID, at.Key, limit+1)
	if err != nil {
		return err
	}
	list, err := makePage(tasks, at, isFirst, limit, func(t view.Task) view.TaskPosition {
		return view.TaskPosition{Position: int32(t.Position), Index: int32(t.Index)}
	}, viewTask)
	if err == nil {
		err = h.addNeeds(c.Context(), run, list.Items)
	}
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list)
}

// addNeeds names the parents that Waiting tasks still need.
func (h taskHandlers) addNeeds(ctx context.Context, run view.Run, tasks []taskView) error {
	waiting := map[string]*taskView{}
	for i := range tasks {
		if tasks[i].Phase == "Waiting" {
			waiting[tasks[i].Name] = &tasks[i]
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	edges, err := h.views.Edges(ctx, run.VersionID)
	if err != nil {
		return err
	}
	var parents []string
	for _, task := range edges {
		if waiting[task.Name] != nil {
			parents = append(parents, task.Parents...)
		}
	}
	phases, err := h.views.Phases(ctx, run.ID, parents)
	if err != nil {
		return err
	}
	for _, task := range edges {
		for _, parent := range task.Parents {
			if of := waiting[task.Name]; of != nil && phases[parent] != "Succeeded" {
				of.Needs = append(of.Needs, parent)
			}
		}
	}
	return nil
}

func (h taskHandlers) read(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	run, task, err := h.findTask(c)
	if err != nil {
		return err
	}
	one := []taskView{viewTask(task)}
	if err := h.addNeeds(c.Context(), run, one); err != nil {
		return err
	}
	return reply(w, http.StatusOK, one[0])
}

// findTask returns the run and the task of the path.
func (h taskHandlers) findTask(c *call) (view.Run, view.Task, error) {
	run, err := h.findRun(c)
	if err != nil {
		return view.Run{}, view.Task{}, err
	}
	name := c.PathValue("task")
	if !isText(name) {
		return view.Run{}, view.Task{}, errUnknown()
	}
	task, found, err := h.views.Task(c.Context(), run.ID, name)
	if err == nil && !found {
		err = errUnknown()
	}
	return run, task, err
}

func (h taskHandlers) attempts(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	at, isFirst, limit, err := parsePosition[int32](values)
	if err != nil {
		return err
	}
	_, task, err := h.findTask(c)
	if err != nil {
		return err
	}
	read := h.views.Attempts
	if at.Backward {
		read = h.views.AttemptsAbove
	}
	attempts, err := read(c.Context(), task.ID, int(at.Key), limit+1)
	if err != nil {
		return err
	}
	list, err := makePage(attempts, at, isFirst, limit, func(a view.Attempt) int32 { return int32(a.Number) }, viewAttempt)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list)
}

// findAttempt returns the run and the attempt of the path.
func (h taskHandlers) findAttempt(c *call) (view.Run, view.Attempt, error) {
	run, task, err := h.findTask(c)
	if err != nil {
		return view.Run{}, view.Attempt{}, err
	}
	number, err := strconv.ParseInt(c.PathValue("number"), 10, 32)
	if err != nil {
		return view.Run{}, view.Attempt{}, errUnknown()
	}
	attempt, found, err := h.views.Attempt(c.Context(), task.ID, int(number))
	if err == nil && !found {
		err = errUnknown()
	}
	return run, attempt, err
}

func (h taskHandlers) readAttempt(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	_, attempt, err := h.findAttempt(c)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, viewAttempt(attempt))
}

func (h taskHandlers) podEvents(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	_, attempt, err := h.findAttempt(c)
	if err != nil {
		return err
	}
	events, err := h.views.PodEvents(c.Context(), attempt.ID)
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, items[podEventView]{viewAll(events, viewPodEvent)})
}
