// Package postgres is the client of PostgreSQL: pools, transactions, statements, and the kinds of their errors. It
// knows no table.
//
// A pool drops connections that can no longer serve. After a failover a session may be left on a server that is
// read-only now. The first statement that such a server refuses takes every connection that was open then out of the
// pool. The next statement opens a new connection.
//
// Every wait for an answer is bounded, even if the server has vanished from the network.
//
// Errors are classified by SQLSTATE and type, never by text.
package postgres
