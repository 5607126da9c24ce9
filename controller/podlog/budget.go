package podlog

import (
	"bytes"
	"compress/gzip"
	"sync"
)

// Budget bounds the compressed bytes that several logs hold together. A nil Budget bounds nothing.
type Budget struct {
	mu   sync.Mutex
	free int64
}

// NewBudget makes a budget of so many bytes.
func NewBudget(size int64) *Budget { return &Budget{free: size} }

// take takes n bytes, if they are free or must be had.
func (b *Budget) take(n int, must bool) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if int64(n) > b.free && !must {
		return false
	}
	b.free -= int64(n)
	return true
}

// give gives n bytes back.
func (b *Budget) give(n int) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += int64(n)
}

// compressor needs a megabyte: there are as many as compress at once, not one for each log.
type compressor struct {
	out  bytes.Buffer
	gzip *gzip.Writer
}

var compressors = sync.Pool{New: func() any {
	c := &compressor{}
	c.gzip, _ = gzip.NewWriterLevel(&c.out, gzip.BestSpeed) // a level that exists
	return c
}}

// compress makes a gzip member of p. Speed comes first: of a long log most of what is compressed is dropped.
func compress(p []byte) []byte {
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.gzip.Reset(&c.out)
	_, _ = c.gzip.Write(p) // a bytes.Buffer takes everything
	_ = c.gzip.Close()
	return bytes.Clone(c.out.Bytes())
}
