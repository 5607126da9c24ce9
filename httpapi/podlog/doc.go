// Package podlog reads the log of an attempt: from its node while its Pod exists, afterwards what the controller has
// stored of it.
//
//	logs.go      Copy: one log, from wherever it is, to a Sink
//	source.go    where a log is: at a node, in the database, nowhere yet, or no longer
//	node.go      requests to the node, through the API server
//	archive.go   what is stored, as an io.ReadSeeker
//	position.go  a place in a log, and whether a log still has it
//	lines.go     removes the times of lines; finds the last lines
//	pieces.go    cuts a log into pieces of text
//	limit.go     how many streams a user may have
//
// It knows views and Pods, and neither HTTP nor users.
//
// # Invariants
//
//   - Only a Pod with the UID of the attempt is read, before and after its log is opened. Another Pod of that name is
//     not.
//   - A Sink gets every byte once and in order from where it begins, or is told before the next byte that it must begin
//     anew, or that a number of bytes is missing. One case cannot be seen: a node that rotates a log may skip or repeat
//     lines of whoever follows it. The End says that it has rotated.
//   - A log is never whole in memory: at most one chunk of the database, or one line up to MaxPiece.
//   - What a node says instead of a log is never passed on as a line of it. At the end of a stream that follows a log,
//     it may continue a line. A last line without a newline is therefore read again, unless nothing else has it.
package podlog
