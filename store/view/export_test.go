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
	Now                          time.Time
}

// Queries lists the queries of this package by the name of their constant, except for lists of runs.
func Queries(s Sample) map[string]Query {
	month := s.Now.AddDate(0, 0, -3)
	return map[string]Query{
		"sqlIdentity":      {sqlIdentity, nil},
		"sqlGranted":       {sqlGranted, []any{views}},
		"sqlRunByUID":      {sqlRunByUID, []any{s.RunUID}},
		"sqlRunNewest":     {sqlRunNewest, []any{s.Namespace, s.Name}},
		"sqlTasks":         {sqlTasks, []any{s.RunID}},
		"sqlAttempts":      {sqlAttempts, []any{s.TaskID, MaxPage}},
		"sqlPodEvents":     {sqlPodEvents, []any{s.AttemptID}},
		"sqlDAG":           {sqlDAG, []any{s.Namespace, s.DAG}},
		"sqlVersions":      {sqlVersions, []any{s.DAGID, 7, MaxPage}},
		"sqlVersion":       {sqlVersion, []any{s.DAGID, 1}},
		"sqlVersionByID":   {sqlVersionByID, []any{s.VersionID}},
		"sqlTicks":         {sqlTicks, []any{s.DAGID, s.Now, MaxPage}},
		"sqlSnapshot":      {sqlSnapshot, nil},
		"sqlChanges":       {sqlChanges, []any{"290000:290100:290000,290007", MaxPage}},
		"sqlQuarters":      {sqlQuarters, []any{month, month.AddDate(0, 0, 1)}},
		"sqlQuartersOfDAG": {sqlQuartersOfDAG, []any{month, s.Now, s.DAGID}},
		"sqlOldestEnd":     {sqlOldestEnd, nil},
	}
}

// RunsQuery returns the query of the first page of runs.
func RunsQuery(filter RunFilter, request PageRequest) (Query, error) {
	from, err := request.Cursor.decode()
	query, args := runsQuery(filter, from, request.limit()+1)
	return Query{query, args}, err
}
