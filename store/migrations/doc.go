// Package migrations creates and migrates schemas. Apply migrates the controller's, whose files are here; a Set is that
// of another package.
//
// A migration is a file NNNN_name.sql, numbered from 1 without a gap. Its header states the oldest schema version whose
// binaries may still run on the result, as a line "-- oldest-compatible: N". Migrations only go forward. A file that
// was released is never edited: its checksum is stored, and a changed file is an error.
//
// Binaries of the release before run while a new one migrates, and again after a way back. Therefore a migration rules
// them out only if it must, and nothing stops those that already run: its release notes must say so.
//
// Any number of processes may migrate at the same time. An advisory lock makes each migration run once.
//
// GrantReaders lets roles read what the migrations create for readers.
package migrations
