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

// OfLive returns the beginning of a list of the cluster, at most limit items.
func OfLive[T any](live cluster.List[T], limit int) Beginning[T] {
	list := Begin(live.Items, limit, Same)
	list.Unavailable = live.Unavailable
	return list
}

// OfPending returns the first DagRuns without a run, at most limit.
func OfPending(pending dags.PendingList, limit int) Beginning[dags.Pending] {
	list := OfLive(pending.List, limit)
	list.HasMore = list.HasMore || pending.HasMore
	return list
}

// Same returns its argument. It is the view of a value that is encoded as it is.
func Same[T any](value T) T { return value }
