package answer

import "kontroler/httpapi/dags"

// Namespace is a namespace that the caller may see, the caller's role in it, and its number of DAGs.
type Namespace struct {
	Name string `json:"name"`
	Role string `json:"role"`
	DAGs int    `json:"dags"`
}

// OfPending returns the first DagRuns without a run, at most limit.
func OfPending(pending dags.PendingList, limit int) Beginning[dags.Pending] {
	list := Begin(pending.Runs, limit, Same)
	list.HasMore = list.HasMore || pending.HasMore
	return list
}

// Same returns its argument. It is the view of what is encoded as it is.
func Same[T any](value T) T { return value }
