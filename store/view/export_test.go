package view

import "time"

// Query is a query of this package, with arguments to plan it with.
type Query struct {
	SQL  string
	Args []any
}

// Sample names existing rows, for the arguments of Queries.
type Sample struct {
	RunUID, Namespace, DAG, Name string
	RunID, TaskID, AttemptID     int64
	DAGID, VersionID             int64
	FinishedAt, Now              time.Time
}

// Queries lists the queries of this package by the name of their constant, except for lists of runs.
func Queries(s Sample) map[string]Query {
	month := s.Now.AddDate(0, 0, -3)
	return map[string]Query{
		"sqlIdentity":         {sqlIdentity, nil},
		"sqlGranted":          {sqlGranted, []any{views}},
		"sqlRunByUID":         {sqlRunByUID, []any{s.RunUID}},
		"sqlRunNewest":        {sqlRunNewest, []any{s.Namespace, s.Name}},
		"sqlTasks":            {sqlTasks, []any{s.RunID, -1, 0, MaxPage}},
		"sqlTasksBefore":      {sqlTasksBefore, []any{s.RunID, 1, 0, MaxPage}},
		"sqlTask":             {sqlTask, []any{s.RunID, "a"}},
		"sqlAttempts":         {sqlAttempts, []any{s.TaskID, 9, MaxPage}},
		"sqlAttemptsAbove":    {sqlAttemptsAbove, []any{s.TaskID, 0, MaxPage}},
		"sqlAttempt":          {sqlAttempt, []any{s.TaskID, 1}},
		"sqlNodes":            {sqlNodes, []any{s.RunID, MaxNodes}},
		"sqlPhases":           {sqlPhases, []any{s.RunID, []string{"a", "b"}}},
		"sqlEdges":            {sqlEdges, []any{s.VersionID}},
		"sqlRunAttempts":      {sqlRunAttempts, []any{s.RunID, MaxPage, MaxCells}},
		"sqlCells":            {sqlCells, []any{[]int64{s.RunID, s.RunID + 1, s.RunID + 2}, MaxNodes}},
		"sqlFailed":           {sqlFailed, []any{false, []string{s.Namespace}, s.Now.AddDate(0, 0, -1), MaxRows}},
		"sqlWaiting":          {sqlWaiting, []any{false, []string{s.Namespace}, s.Now, MaxRows}},
		"sqlMissed":           {sqlMissed, []any{false, []string{s.Namespace}, s.Now.AddDate(0, 0, -1), MaxRows}},
		"sqlByLastRun":        {sqlByLastRun, []any{false, []string{s.Namespace}, []string{"Failed"}}},
		"sqlRecent":           {sqlRecent, []any{[]string{s.Namespace, "none"}, []string{s.DAG, "none"}, LastRuns}},
		"sqlDeleted":          {sqlDeleted, []any{false, []string{s.Namespace}, "dag", "", "", MaxRows}},
		"sqlDeletedBefore":    {sqlDeletedBefore, []any{false, []string{s.Namespace}, "dag", "x", "x", MaxRows}},
		"sqlAdmitted":         {sqlAdmitted, []any{[]string{s.RunUID}}},
		"sqlController":       {sqlController, nil},
		"sqlVersionsAbove":    {sqlVersionsAbove, []any{s.DAGID, 7, MaxPage}},
		"sqlTicksAfter":       {sqlTicksAfter, []any{s.DAGID, s.Now, MaxPage}},
		"sqlTypicalDurations": {sqlTypicalDurations, []any{[]int64{s.DAGID, s.DAGID + 1}}},
		"sqlPodEvents":        {sqlPodEvents, []any{s.AttemptID}},
		"sqlLog":              {sqlLog, []any{s.AttemptID, s.FinishedAt}},
		"sqlLogSizes":         {sqlLogSizes, []any{s.AttemptID, s.FinishedAt, 8}},
		"sqlLogChunk":         {sqlLogChunk, []any{s.AttemptID, s.FinishedAt, 1}},
		"sqlDAG":              {sqlDAG, []any{s.Namespace, s.DAG}},
		"sqlVersions":         {sqlVersions, []any{s.DAGID, 7, MaxPage}},
		"sqlVersion":          {sqlVersion, []any{s.DAGID, 1}},
		"sqlVersionNumbers":   {sqlVersionNumbers, []any{[]int64{s.VersionID, s.VersionID + 1}}},
		"sqlVersionByID":      {sqlVersionByID, []any{s.VersionID}},
		"sqlTaskVersion":      {sqlTaskVersion, []any{s.Namespace, "shared", 1}},
		"sqlTicks":            {sqlTicks, []any{s.DAGID, s.Now, MaxPage}},
		"sqlSnapshot":         {sqlSnapshot, nil},
		"sqlChanges":          {sqlChanges, []any{"290000:290100:290000,290007", MaxPage}},
		"sqlChangesBetween": {
			sqlChangesBetween, []any{"290000:290100:290000,290007", "290200:290300:290250", MaxPage},
		},
		"sqlRunsChanged":   {sqlRunsChanged, []any{[]int64{s.RunID, s.RunID + 1, s.RunID + 2}}},
		"sqlDAGNames":      {sqlDAGNames, []any{[]int64{s.DAGID, s.DAGID + 1}}},
		"sqlQuarters":      {sqlQuarters, []any{month, month.AddDate(0, 0, 1)}},
		"sqlQuartersOfDAG": {sqlQuartersOfDAG, []any{month, s.Now, s.DAGID}},
		"sqlLaterEnd":      {sqlLaterEnd, []any{month, 1000}},
		"sqlEndsOfRuns":    {sqlEndsOfRuns, []any{upTo(maxRunsOfEnds)}},
	}
}

// upTo returns the numbers from 1 to n.
func upTo(n int64) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = int64(i) + 1
	}
	return all
}

// RunsQuery returns the query of the first page of runs.
func RunsQuery(filter RunFilter, request PageRequest) (Query, error) {
	from, err := request.Cursor.decode()
	query, args := runsQuery(filter, from, request.limit()+1)
	return Query{query, args}, err
}
