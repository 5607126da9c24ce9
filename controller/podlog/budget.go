package podlog

import (
	"bytes"
	"compress/gzip"
	"sync"
)

// Budget bounds the compressed bytes that several logs hold together. It is safe for concurrent use. A nil Budget has
// no bound.
type Budget struct {
	mu   sync.Mutex
	free int64 // negative if required blocks exceeded the budget
}

// NewBudget makes a budget of a number of bytes.
func NewBudget(size int64) *Budget { return &Budget{free: size} }

// take takes n bytes if they are free, or if they are required.
func (b *Budget) take(n int, areRequired bool) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if int64(n) > b.free && !areRequired {
		return false
	}
	b.free -= int64(n)
	return true
}

// giveBack returns n bytes.
func (b *Budget) giveBack(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += int64(n)
}

// compressor takes a megabyte. Logs share a pool of them, so that there are fewer compressors than logs.
type compressor struct {
	out  bytes.Buffer
	gzip *gzip.Writer
}

var compressors = sync.Pool{New: func() any {
	c := &compressor{}
	c.gzip, _ = gzip.NewWriterLevel(&c.out, gzip.BestSpeed) // fails only if the level does not exist
	return c
}}

// compress makes a gzip member of p. It favours speed over size: most blocks of a long log are dropped again.
func compress(p []byte) []byte {
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.gzip.Reset(&c.out)
	_, _ = c.gzip.Write(p) // a bytes.Buffer accepts everything
	_ = c.gzip.Close()
	return bytes.Clone(c.out.Bytes())
}
