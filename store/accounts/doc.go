// Package accounts keeps the users of the server in PostgreSQL, in the schema kontroler_server: their rights, password
// hashes, sessions and API tokens, and the audit of what they did. It has a migration set and a lock of its own, and
// may have a database of its own. It knows no HTTP, and neither hashes nor checks a password.
//
// # Invariants
//
//   - No row contains a password or a token: a password is stored as its Argon2id hash, an API token as its SHA-256.
//   - A session begins only if the password hash that was checked is still that of the user, and the user is enabled. A
//     new password, disabling a user and deleting one end all sessions that began before. Row locks order the two.
//   - Once there is an enabled administrator, there always is one: Users.Update and Users.Delete refuse to remove the
//     last.
//   - A row of the audit is complete before its action begins, except for the outcome. It outlives its user.
//   - Names and other filters are compared byte by byte, whatever the collation of the database.
//   - Times are passed in, stored in microseconds and returned in UTC.
package accounts
