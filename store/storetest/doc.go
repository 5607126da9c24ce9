// Package storetest gives tests a real PostgreSQL.
//
// Each test gets a database of its own, a copy of a template that is migrated once. It sorts text by ICU's rules for
// English, if the server is PostgreSQL 15 or later. If TEST_DATABASE_URL is set, the databases are created on its
// server; the role must be allowed to create databases and roles. Otherwise the tests of a process share a temporary
// server, which is started from the binaries on this machine and ends with the process, however that ends.
//
// Without PostgreSQL a test is skipped; with CI=true it fails.
//
// Start gives a server to a program that is not a test.
package storetest
