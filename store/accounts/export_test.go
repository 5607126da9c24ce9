package accounts

import "time"

// Query is a statement with arguments, for tests that read its plan.
type Query struct {
	SQL  string
	Args []any
}

// Queries returns every statement that finds rows, by name.
func Queries(now time.Time) map[string]Query {
	filter := func(f AuditFilter, p AuditPosition, compare, order string) Query {
		statement, args := auditStatement(f, p, compare, order, 51)
		return Query{statement, args}
	}
	at := AuditPosition{At: now, ID: 1000}
	return map[string]Query{
		"sqlUser":            {sqlUser, []any{"user-7"}},
		"sqlUsersAfter":      {sqlUsersAfter, []any{"user-7", 51}},
		"sqlUsersBefore":     {sqlUsersBefore, []any{"user-7", 51}},
		"sqlUserSet":         {sqlUserSet, []any{7, false, "[]", false}},
		"sqlUserDelete":      {sqlUserDelete, []any{"user-7"}},
		"sqlAdminsLock":      {sqlAdminsLock, nil},
		"sqlAdminsExist":     {sqlAdminsExist, nil},
		"sqlCredential":      {sqlCredential, []any{7}},
		"sqlCredentialSet":   {sqlCredentialSet, []any{7, "h", now}},
		"sqlCredentialRenew": {sqlCredentialRenew, []any{7, "h", "i"}},
		"sqlSessionsEnd":     {sqlSessionsEnd, []any{7, ""}},
		"sqlSessionMake":     {sqlSessionMake, []any{"x", 7, "h", "", now, now}},
		"sqlSessionsTrim":    {sqlSessionsTrim, []any{7, MaxSessions}},
		"sqlSession":         {sqlSession, []any{"session-7"}},
		"sqlSessionAddress":  {sqlSessionAddress, []any{7}},
		"sqlSessionSeen":     {sqlSessionSeen, []any{"session-7", now}},
		"sqlSessionEnd":      {sqlSessionEnd, []any{"session-7"}},
		"sqlSessionClean":    {sqlSessionClean, []any{now.Add(-time.Hour), 1000}},
		"sqlTokenMake":       {sqlTokenMake, []any{7, "n", make([]byte, 32), false, "[]", now, now, MaxTokens}},
		"sqlToken":           {sqlToken, []any{make([]byte, 32)}},
		"sqlTokens":          {sqlTokens, []any{7}},
		"sqlTokenSeen":       {sqlTokenSeen, []any{7, now}},
		"sqlTokenDelete":     {sqlTokenDelete, []any{7, 7}},
		"sqlTokenClean":      {sqlTokenClean, []any{now.Add(-time.Hour), 1000}},
		"sqlAuditEnd":        {sqlAuditEnd, []any{7, "o", now}},
		"sqlAuditClean":      {sqlAuditClean, []any{now.Add(-time.Hour), 1000}},
		"audit, newest":      filter(AuditFilter{}, AuditPosition{}, "<", "DESC"),
		"audit, after":       filter(AuditFilter{}, at, ">", "ASC"),
		"audit, of a time":   filter(AuditFilter{From: now.Add(-time.Minute), To: now}, AuditPosition{}, "<", "DESC"),
		"audit, of a user":   filter(AuditFilter{User: "user-7"}, at, "<", "DESC"),
		"audit, of an object": filter(
			AuditFilter{Object: "users/user-7", From: now.Add(-10 * time.Hour)}, AuditPosition{}, "<", "DESC"),
	}
}
