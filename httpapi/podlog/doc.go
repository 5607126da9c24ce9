// Package podlog reads the log of an attempt: from the node while the Pod exists, and afterwards from the database,
// where the controller has stored it.
//
//	logs.go      Copy: copies a log to a Sink, from the node or the database
//	source.go    finds where a log is: on a node, in the database, not yet there, or gone
//	node.go      requests to the node, through the API server
//	archive.go   a stored log as an io.ReadSeeker
//	position.go  a place in a log, and whether a log still has it
//	lines.go     removes the times of lines; finds the last lines
//	pieces.go    cuts a log into pieces of text
//	limit.go     how many streams a user may have
//
// It handles neither HTTP nor permissions.
//
// # Invariants
//
//   - Only the log of a Pod with the UID of the attempt is read. The UID is checked before and after the log is opened,
//     so that another Pod of the same name is not read.
//   - A Sink gets every byte after its beginning once and in order. If it cannot, it gets Reset or Omitted before the
//     next byte. One case cannot be detected: a node that rotates a log may skip or repeat lines in a stream that
//     follows it. End says that the log was rotated.
//   - A log is never whole in memory: at most one chunk of the database, or one line up to MaxPiece.
//   - A message that the kubelet sends instead of a log is never passed on as a line of the log. At the end of a stream
//     that follows a log, it may continue a line. A last line without a newline is therefore read again, if it is still
//     available.
package podlog
