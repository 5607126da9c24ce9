// Package migrations creates and migrates schemas. Apply migrates the schema of the controller, with the files of
// this package. Other packages migrate schemas of their own with a Set.
//
// A migration is a file NNNN_name.sql, numbered from 1 without a gap. Its header states the oldest schema version whose
// binaries may still run on the result, as a line "-- oldest-compatible: N". Migrations only go forward. A file that
// was released is never edited: its checksum is stored, and a changed file is an error.
//
// Binaries of the previous release run while a new one migrates, and run again after a rollback. A migration should
// therefore stay compatible with them. If it does not, the release notes must say to stop the old binaries first,
// because nothing else stops those that are running.
//
// Any number of processes may migrate at the same time. An advisory lock makes each migration run once.
//
// GrantReaders lets roles read what the migrations create for readers.
package migrations
