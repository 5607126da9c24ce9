package podlog

import "testing"

// A log that has ended holds its blocks only, not the memory in which they were filled.
func TestFinishFreesTheBlockThatWasFilled(t *testing.T) {
	l := New(8*maxBlock, nil)
	_, _ = l.Write([]byte("2026-03-01T12:00:00Z a\n"))
	if r := l.Finish(); len(r.Blocks) != 1 || l.blocks.current != nil {
		t.Errorf("%d blocks, and %d bytes are held for another one", len(r.Blocks), cap(l.blocks.current))
	}
}
