package engine

import (
	"time"

	"kontroler/apis/dag"
)

// findEnds finds the attempts that ended. It does so once for each snapshot.
func (s *Snapshot) findEnds(now time.Time) {
	if s.ends != nil {
		return
	}
	s.ends = map[string]End{}
	for _, a := range s.Attempts {
		if end, ended := FindEnd(a, s.Pods[a.PodName], now); ended {
			s.ends[a.PodName] = end
		}
	}
}

// Missing returns the positions of the tasks that a decision at time now needs and the snapshot lacks: the children of
// tasks whose attempt ended or whose create was refused, and up to a number of descendants of tasks that may fail. The
// snapshot must already contain its Attempts, Pods and Refusals.
func (s *Snapshot) Missing(now time.Time, descendants int) []int32 {
	s.findEnds(now)
	known := map[int32]bool{}
	for _, task := range s.Tasks {
		known[int32(task.Position)] = true
	}
	var missing, failed []int32
	add := func(position int32) {
		if !known[position] {
			known[position] = true
			missing = append(missing, position)
		}
	}
	for _, a := range s.Attempts {
		end, ended := s.ends[a.PodName]
		if _, refused := s.Refusals[a.PodName]; !ended && !refused {
			continue
		}
		for _, child := range s.Graph.Children(a.Task) {
			add(child)
		}
		if end.Phase != AttemptSucceeded {
			failed = append(failed, int32(a.Task))
		}
	}
	for _, task := range s.Tasks {
		if task.ChildrenPending {
			for _, child := range s.Graph.Children(task.Position) {
				add(child)
			}
			failed = append(failed, int32(task.Position))
		}
	}
	descend(s.Graph, failed, descendants, add)
	return missing
}

// descend calls add with the descendants of from, breadth first, at most budget of them.
func descend(graph *dag.Graph, from []int32, budget int, add func(int32)) {
	seen := map[int32]bool{}
	for len(from) > 0 && budget > 0 {
		position := from[0]
		from = from[1:]
		for _, child := range graph.Children(int(position)) {
			if seen[child] {
				continue
			}
			seen[child] = true
			add(child)
			from = append(from, child)
			if budget--; budget == 0 {
				return
			}
		}
	}
}
