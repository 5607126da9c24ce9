package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"kontroler/store/internal/postgres"
	"kontroler/store/transition"
)

// Query is a query of this package, with arguments to plan it with.
type Query struct {
	SQL  string
	Args []any
}

// Sample names existing rows, for the arguments of Queries.
type Sample struct {
	RunID, TaskID, AttemptID, VersionID int64
	RunUID, Pod, Namespace, DAG         string
	Now                                 time.Time
	Old                                 time.Time // some rows are older than it
}

// Queries lists every query of package store by the name of its constant.
func Queries(s Sample) map[string]Query {
	now, pods := timestamp(s.Now), []string{s.Pod}
	ids, text, times := []int64{1}, []string{"x"}, timestamps([]time.Time{s.Now})
	gatherArgs := []any{s.RunUID, pods, now, 500, DecidedLimit, 100, 100, []int32{1}}
	all := map[string]Query{
		"sqlAttemptByPod":    {sqlAttemptByPod, []any{s.RunUID, s.Pod}},
		"sqlAttemptStray":    {sqlAttemptStray, []any{s.RunID, s.AttemptID, s.RunUID}},
		"sqlRunsChanged":     {sqlRunsChanged, []any{[]int64{s.RunID}}},
		"sqlObjectChanged":   {sqlObjectChanged, []any{s.Namespace, 7}},
		"sqlDAGsChanged":     {sqlDAGsChanged, []any{[]int64{7, 8}}},
		"sqlChangesForeign":  {sqlChangesForeign, nil},
		"sqlClock":           {sqlClock, nil},
		"sqlClusterBind":     {sqlClusterBind, []any{"uid"}},
		"sqlClusterLock":     {sqlClusterLock, nil},
		"sqlDAGDelete":       {sqlDAGDelete, []any{s.Namespace, s.DAG, now}},
		"sqlDAGSave":         {sqlDAGSave, []any{s.Namespace, s.DAG, s.RunUID, now}},
		"sqlEpochLock":       {sqlEpochLock, []any{0}},
		"sqlEpochMake":       {sqlEpochMake, []any{0}},
		"sqlEpochRead":       {sqlEpochRead, []any{0}},
		"sqlEpochTake":       {sqlEpochTake, []any{0, 1, 2, "holder"}},
		"sqlGather":          {sqlGather, gatherArgs},
		"sqlGatherAll":       {sqlGatherAll, gatherArgs},
		"sqlIdentity":        {sqlIdentity, nil},
		"sqlIdentityMake":    {sqlIdentityMake, []any{"abcdefghij"}},
		"sqlNotify":          {sqlNotify, nil},
		"sqlPartitionExists": {sqlPartitionExists, []any{"kontroler.changes_2025_01"}},
		"sqlPing":            {sqlPing, nil},
		"sqlRunAdmit": {sqlRunAdmit, []any{s.RunUID, s.Namespace, "r", s.DAG, nil, s.VersionID, 0, "Pending", "", "",
			"[]", 1, 0, 1, now, now, nil, nil, 1, []int64{0}, []string{"a"}, []string{"{}"}, "API", "alice", nil}},
		"sqlRunByUID": {sqlRunByUID, []any{s.RunUID}},
		"sqlCommit": {sqlCommit, []any{s.RunID, 0, 1, fmt.Sprintf(`[{"id": %d, "last": 4}]`, s.AttemptID),
			fmt.Sprintf(`[{"id": %d}]`, s.TaskID), []string{"Pending", "Running"}, nil, nil, nil, nil, nil, nil, nil,
			0, 0, 0, 0, 0, 0, 0, true, 3}},
		"sqlUnstartedCancelled": {sqlUnstartedCancelled, []any{s.RunID, "r", "m", now}},
		"sqlLiveStopped":        {sqlLiveStopped, []any{s.RunID, "r", "m", now}},
		"sqlRunNewest":          {sqlRunNewest, []any{s.Namespace, s.DAG}},
		"sqlRunProgress":        {sqlRunProgress, []any{s.RunUID, now, 3}},
		"sqlRunDiscard":         {sqlRunDiscard, []any{s.RunID}},
		"sqlRunExists":          {sqlRunExists, []any{s.RunID}},
		"sqlRunsLive":           {sqlRunsLive, []any{0, 0, 500}},
		"sqlRunWorkspace":       {sqlRunWorkspace, []any{s.RunID, s.RunUID}},
		"sqlSessionEnd":         {sqlSessionEnd, []any{1, "x"}},
		"sqlSessions":           {sqlSessions, []any{"x"}},
		"sqlTasksAt":            {sqlTasksAt, []any{s.RunID, []int32{0, 1}}},
		"sqlDAGs":               {sqlDAGs, []any{0, 1000}},
		"sqlVersionByID":        {sqlVersionByID, []any{s.VersionID}},
		"sqlVersionNewest":      {sqlVersionNewest, []any{s.Namespace, s.DAG}},
		"sqlVersionSave":        {sqlVersionSave, []any{1, 99, make([]byte, 32), "{}", 5, now}},

		"sqlPodEventsSave": {sqlPodEventsSave, podEventArgs([]PodEvent{{Pod: Pod{UID: s.RunUID, RunUID: s.RunUID,
			Name: s.Pod}, Count: 1, FirstAt: s.Now, LastAt: s.Now}})},
		"sqlPodEventsTrim": {sqlPodEventsTrim, []any{[]int64{s.AttemptID}, timestamps([]time.Time{s.Now}),
			podEventsFirst, podEventsNewest}},
		"sqlPodsRecent":      {sqlPodsRecent, []any{5000}},
		"sqlTaskVersionRead": {sqlTaskVersionRead, []any{s.Namespace, "task-7", 1}},
		"sqlTaskSave":        {sqlTaskSave, []any{s.Namespace, "task-7", s.RunUID, 1, now}},
		"sqlTaskVersionSave": {sqlTaskVersionSave, []any{1, 99, make([]byte, 32), "{}", now}},
		"sqlTaskVersionSet":  {sqlTaskVersionSet, []any{1, 99}},
		"sqlTaskDelete":      {sqlTaskDelete, []any{s.Namespace, "task-7", now}},
		"sqlDagTasks":        {sqlDagTasks, []any{0, 1000}},
		"sqlLogOwner":        {sqlLogOwner, []any{s.RunUID, s.AttemptID, now}},
		"sqlLogMake": {sqlLogMake,
			[]any{s.AttemptID, now, LogCaptured, "", 1, 0, 0, now, now, false, false, 1, now}},
		"sqlLogChunkMake": {sqlLogChunkMake, []any{s.AttemptID, now, 0, 1, []byte("x")}},

		"sqlScheduleRead":           {sqlScheduleRead, []any{s.Namespace, s.DAG}},
		"sqlScheduleMake":           {sqlScheduleMake, []any{1, s.RunUID, "x", "x", now, "x", now, "x", now}},
		"sqlScheduleMove":           {sqlScheduleMove, []any{1, s.RunUID, "x", "x", now, "x", now, "x", now, now}},
		"sqlScheduledRuns":          {sqlScheduledRuns, []any{1, s.RunUID}},
		"sqlScheduledRunsReplaced":  {sqlScheduledRunsReplaced, []any{1}},
		"sqlScheduledRunEnded":      {sqlScheduledRunEnded, []any{1, times}},
		"sqlScheduledRunCreated":    {sqlScheduledRunCreated, []any{1, now, s.RunUID}},
		"sqlTickMake":               {sqlTickMake, []any{1, times, times, ids, text, text, now, s.RunUID}},
		"sqlTickExtend":             {sqlTickExtend, []any{1, now, now, 1, "x"}},
		"sqlTickLastSettled":        {sqlTickLastSettled, []any{1, times}},
		"sqlScheduledRunsDropped":   {sqlScheduledRunsDropped, []any{1, times}},
		"sqlScheduledRunsTakenBack": {sqlScheduledRunsTakenBack, []any{1, times}},
		"sqlScheduledRunsKept":      {sqlScheduledRunsKept, []any{1}},
		"sqlScheduleRewind":         {sqlScheduleRewind, []any{1, now, now}},
		"sqlScheduleEnded":          {sqlScheduleEnded, []any{s.Namespace, s.DAG}},
		"sqlSchedulesUnknown":       {sqlSchedulesUnknown, nil},
		"sqlScheduledRunsLeft":      {sqlScheduledRunsLeft, []any{1, s.RunUID}},

		"sqlTrimClock":       {sqlTrimClock, []any{now}},
		"sqlTrimRuns":        {sqlTrimRuns, []any{timestamp(s.Old), 0, now, trimRuns, trimRows}},
		"sqlTrimOldest":      {sqlTrimOldest, nil},
		"sqlTrimAttempts":    {sqlTrimAttempts, []any{[]int64{s.RunID, 7}}},
		"sqlTrimTasks":       {sqlTrimTasks, []any{[]int64{s.RunID, 7}}},
		"sqlTrimEnded":       {sqlTrimEnded, []any{[]int64{s.RunID, 7}}},
		"sqlTrimVersions":    {sqlTrimVersions, []any{0, now, trimVersions}},
		"sqlTrimVersionRows": {sqlTrimVersionRows, []any{[]int64{s.VersionID, 7}}},
		"sqlTrimSchedules":   {sqlTrimSchedules, []any{now}},
		"sqlTrimSchedule":    {sqlTrimSchedule, []any{1, now}},
		"sqlPlaceholders":    {sqlPlaceholders, nil},
		"(old changes)":      {fmt.Sprintf(trimChanges, "changes_default"), []any{0, trimRows, timestamp(s.Old)}},
		"sqlPartitions":      {sqlPartitions, []any{"kontroler.changes"}},
		"sqlRunOver":         {sqlRunOver, []any{s.RunUID, s.Namespace, "r"}},

		"sqlNotificationsMake": {sqlNotificationsMake,
			[]any{s.RunID, now, []int64{s.TaskID}, []string{"TaskFailed"}}},
		"sqlNotificationsClaim":  {sqlNotificationsClaim, []any{now, now, []int64{1}, []int64{7}, 4, 32}},
		"sqlNotificationNext":    {sqlNotificationNext, []any{now}},
		"sqlNotificationRun":     {sqlNotificationRun, []any{s.RunID}},
		"sqlNotificationNote":    {sqlNotificationNote, []any{1, 1, now, "Delivered", nil, "", now}},
		"sqlNotificationFollows": {sqlNotificationFollows, []any{s.RunID, now}},
		"sqlDeliveryMake":        {sqlDeliveryMake, []any{1, 1, now, nil, "e", "r", 1}},
	}
	for _, table := range []string{"notifications", "attempts", "tasks"} {
		all["("+table+" of a run)"] = Query{fmt.Sprintf(trimOfRun, table), []any{s.RunID, trimRows}}
	}
	for _, p := range partitioned {
		all["(rows of "+p.table+"_default)"] = Query{trimDefault(p), []any{timestamp(s.Old), trimRows}}
	}
	return all
}

// NotExplained are the statements without a plan worth reading. They define or set something, or read
// tables that do not grow.
var NotExplained = []string{
	"sqlPartitionWait", "sqlDropWait", "sqlChangesEmpty",
	"sqlMigrateCoding", "sqlMigrateLock", "sqlMigrateSchema", "sqlMigrateCreate", "sqlMigrateExists", "sqlMigrateMake",
	"sqlMigrateList", "sqlMigrateNote", "sqlReadersMissing", "sqlReadersRefused",
}

// Term returns the leader's term.
func (l *Leader) Term() Term { return l.pool.term }

// InTx runs fn in a fenced transaction of the leader.
func (l *Leader) InTx(ctx context.Context, fn func(*sql.Tx) error) error {
	return l.pool.inTx(ctx, func(q querier) error { return fn(q.(postgres.Session).Tx) })
}

// GatherIn is Gather in a transaction.
func (l *Leader) GatherIn(ctx context.Context, tx *sql.Tx, uid string, request GatherRequest) (Snapshot, error) {
	snapshot, _, err := gather(ctx, l.pool.prepared.InTx(tx), uid, request)
	return snapshot, err
}

// ApplyIn is Commit in a transaction.
func (l *Leader) ApplyIn(ctx context.Context, tx *sql.Tx, runID int64, transitions []transition.Transition) error {
	c, err := newChanges(transitions)
	if err != nil {
		return err
	}
	return c.apply(ctx, l.pool.prepared.InTx(tx), l.pool.term, runID)
}

// AttemptsByPods reads the attempts of a run, live or ended, that have these Pod names, by ID.
func (l *Leader) AttemptsByPods(ctx context.Context, runID int64, podNames []string) ([]Attempt, error) {
	return readEncoded[Attempt](ctx, l.pool.reader(), `
SELECT coalesce(json_agg(f ORDER BY f.id), '[]') FROM (
    SELECT `+attemptColumns+` FROM kontroler.attempts a WHERE a.run_id = $1 AND a.pod_name = ANY ($2)) f`,
		runID, podNames)
}

// PlanSettings are the planner's settings in a leader's sessions.
var PlanSettings = planSettings

// PreparedStatements are the statements that a leader plans once.
var PreparedStatements = preparedStatements

// Partitioned returns the tables with a partition for each month, with the column that determines it.
func Partitioned() map[string]string {
	keys := map[string]string{}
	for _, p := range partitioned {
		keys[p.table] = p.key
	}
	return keys
}

// TrimRows is the maximum number of rows that a batch removes.
const TrimRows = trimRows
