package informer

// Names of the indexes of the caches, for Set.By.
const (
	ByUID      = "uid"      // DagRuns and Pods, by their UID
	ByDAG      = "dag"      // DagRuns, by namespace/name of their DAG
	BySchedule = "schedule" // DagRuns that a schedule created, by the UID of its DAG
	ByTask     = "task"     // DAGs, by namespace/name of the DagTasks that they name
	ByRun      = "run"      // Pods, by the UID of their run
)
