// Package podlog keeps the head and the tail of a container's log in bounded memory. It is pure: bytes of a log stream in,
// compressed blocks out.
//
// Invariants:
//   - What is kept is what the container wrote, byte for byte: no encoding is assumed, a line is never buffered, and the
//     time that a kubelet puts before each line (PodLogOptions.Timestamps) is taken off again.
//   - Bytes = head + Omitted + tail, exactly, whatever was cut and why.
//   - A log holds at most its limit, counted before compression; all logs of a Budget hold at most that, counted after it,
//     and the first and the last block each, which are always kept. A log no longer than a block is therefore whole.
//   - Each block is a gzip member of its own, so any run of blocks is a gzip stream: blocks of the tail are dropped
//     without touching the others.
//   - A line that begins without a time was not written by the container: it is the kubelet's own word, as a kubelet that
//     finds no log says so in the body of its answer. It is a note, not log.
//
// A stream that broke is continued by a second one that begins at Since: Resume skips what is there already, by the times
// of the lines, those that several lines have in common included.
package podlog
