// Package podlog stores the head and the tail of a container's log in bounded memory. It is pure: it takes the bytes of
// a log stream and returns compressed blocks.
//
//	log.go     Log: a stream in, the stored parts out
//	lines.go   removes the timestamps of lines
//	cursor.go  recognizes the lines that a second stream repeats
//	blocks.go  stores head and tail in compressed blocks
//	budget.go  memory that several logs share; compression
//
// Invariants:
//   - The stored bytes are those that the container wrote. No encoding is assumed, and no line is buffered. The
//     timestamp that a kubelet puts before each line (PodLogOptions.Timestamps) is removed.
//   - Bytes = head + Omitted + tail, exactly, whatever was omitted and why.
//   - A log holds at most its limit, counted before compression. The logs that share a Budget hold at most its size,
//     counted after compression, and in addition the first and the last block of each log, which are always stored. A
//     log that is no longer than a block is therefore complete. The logs of one owner hold at most half of what those
//     of the others leave.
//   - Each block is a gzip member of its own, so any sequence of blocks is a gzip stream. Blocks of the tail are
//     dropped without touching the others.
//   - A line without a timestamp was not written by the container but by the kubelet, which reports in the body of its
//     answer that it finds no log. Such a line is a note and is not part of the log.
//
// A second stream, which begins at Since, continues a stream that broke. After Resume, a Log skips what it has read
// already. It recognizes these lines by their timestamps, and by their number where several have the same timestamp.
package podlog
