package answer

import (
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/dags"
)

// Namespace is a namespace that the caller may see, and the caller's role in it. DAGs is the number of its DAGs. It is
// missing if it is not known.
type Namespace struct {
	Name string `json:"name"`
	Role string `json:"role"`
	DAGs *int   `json:"dags,omitempty"`
}

// OfInvalid returns the first DAGs that are not valid, at most limit.
func OfInvalid(invalid cluster.List[dags.Invalid], limit int) Beginning[dags.Invalid] {
	list := Begin(invalid.Items, limit, Same)
	list.Unavailable = invalid.Unavailable
	return list
}

// OfPending returns the first DagRuns without a run, at most limit.
func OfPending(pending dags.PendingList, limit int) Beginning[dags.Pending] {
	list := Begin(pending.Items, limit, Same)
	list.HasMore, list.Unavailable = list.HasMore || pending.HasMore, pending.Unavailable
	return list
}

// Same returns its argument. It is the view of what is encoded as it is.
func Same[T any](value T) T { return value }
