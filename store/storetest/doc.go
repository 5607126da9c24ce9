// Package storetest gives tests a real PostgreSQL.
//
// With TEST_DATABASE_URL set, its server is used: each test gets a database of its own there, a copy of a template that
// is migrated once. The role must be allowed to create databases. Without it a throwaway server is started from the
// binaries on this machine, one for all tests of a process, and it ends with the process, however that ends.
//
// Without PostgreSQL a test is skipped; with CI=true it fails.
//
// Server needs no test: programs that want a database of their own use Start.
package storetest
