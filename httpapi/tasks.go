package httpapi

import (
	"context"
	"math"
	"net/http"

	"kontroler/httpapi/answer"
	"kontroler/store/view"
)

// taskHandlers show the tasks of runs, their attempts, and the Events of their Pods.
type taskHandlers struct{ *base }

// items is a list without pages.
type items[T any] struct {
	Items []T `json:"items"`
}

func (h taskHandlers) list(w http.ResponseWriter, c *call) error {
	values, err := query(c, "limit", "cursor")
	if err != nil {
		return err
	}
	at, limit, err := parsePosition[view.TaskPosition](values)
	if err != nil {
		return err
	}
	run, err := h.findRun(c)
	if err != nil {
		return err
	}
	read := h.views.Tasks
	if at.isFirst {
		at.Key = view.FirstTask
	} else if at.Backward {
		read = h.views.TasksBefore
	}
	tasks, err := read(c.Context(), run.ID, at.Key, limit+1)
	if err != nil {
		return err
	}
	list, err := makePage(tasks, at, limit, func(t view.Task) view.TaskPosition {
		return view.TaskPosition{Position: int32(t.Position), Index: int32(t.Index)}
	}, answer.OfTask)
	if err == nil {
		err = h.addNeeds(c.Context(), run, list.Items)
	}
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, list)
}

// addNeeds names the parents that Waiting tasks still need.
func (h taskHandlers) addNeeds(ctx context.Context, run view.Run, tasks []answer.Task) error {
	waiting := map[string]*answer.Task{}
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
	one := []answer.Task{answer.OfTask(task)}
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
	_, task, err := h.findTask(c)
	if err != nil {
		return err
	}
	number := func(a view.Attempt) int32 { return int32(a.Number) }
	return replyPage(w, values, number, answer.OfAttempt, func(at position[int32], limit int) ([]view.Attempt, error) {
		read := h.views.Attempts
		if at.Backward {
			read = h.views.AttemptsAbove
		}
		return read(c.Context(), task.ID, int(at.Key), limit)
	})
}

// findAttempt returns the run and the attempt of the path.
func (h taskHandlers) findAttempt(c *call) (view.Run, view.Attempt, error) {
	run, task, err := h.findTask(c)
	if err != nil {
		return view.Run{}, view.Attempt{}, err
	}
	number, err := parseNumber(c.PathValue("number"), math.MaxInt32)
	if err != nil {
		return view.Run{}, view.Attempt{}, errUnknown()
	}
	attempt, found, err := h.views.Attempt(c.Context(), task.ID, number)
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
	return reply(w, http.StatusOK, answer.OfAttempt(attempt))
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
	return reply(w, http.StatusOK, items[answer.PodEvent]{answer.All(events, answer.OfPodEvent)})
}
