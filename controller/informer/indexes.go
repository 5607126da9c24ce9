package informer

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Names of the indexes of the caches. ByUID is for Set.WithUID, the others are for Set.By.
const (
	ByUID      = "uid"      // DagRuns and Pods, by the first characters of their UID
	ByDAG      = "dag"      // DagRuns, by namespace/name of their DAG
	ByWaiting  = "waiting"  // DagRuns that are not admitted, by namespace/name of their DAG
	BySchedule = "schedule" // DagRuns that a schedule created, by the UID of its DAG
	ByTask     = "task"     // DAGs, by namespace/name of the DagTasks that they name
	ByRun      = "run"      // Pods, by the UID of their run
)

// IndexUID is the index function of ByUID. An entry of an index takes some 200 bytes, so several objects share one.
func IndexUID(object any) ([]string, error) {
	return []string{firstOf(object.(metav1.Object).GetUID())}, nil
}

// firstOf returns the first three characters of a UID, which are random.
func firstOf(uid types.UID) string { return string(uid[:min(len(uid), 3)]) }
