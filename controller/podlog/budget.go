package podlog

import (
	"bytes"
	"compress/gzip"
	"sync"

	"kontroler/apis/fairness"
)

// Budget bounds the compressed bytes that the logs of several owners hold together. It is safe for concurrent use.
type Budget struct {
	size int64

	mu      sync.Mutex
	held    int64 // more than size if required blocks exceeded it
	byOwner map[string]int64
}

// NewBudget makes a budget of a number of bytes.
func NewBudget(size int64) *Budget { return &Budget{size: size, byOwner: map[string]int64{}} }

// Of returns what an owner may hold of the budget: half of what the other owners leave.
func (b *Budget) Of(owner string) *Share { return &Share{b, owner} }

// Share is what the logs of one owner may hold of a Budget. A nil Share has no bound.
type Share struct {
	of    *Budget
	owner string
}

// take takes n bytes if the owner may hold them, or if they are required.
func (s *Share) take(n int, areRequired bool) bool {
	if s == nil {
		return true
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	own := s.of.byOwner[s.owner]
	if own+int64(n) > fairness.Share(s.of.size, s.of.held-own) && !areRequired {
		return false
	}
	s.add(n)
	return true
}

// giveBack returns n bytes.
func (s *Share) giveBack(n int) {
	if s == nil {
		return
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.add(-n)
}

// add adds n bytes to what the owner holds. The caller holds the mutex of the budget.
func (s *Share) add(n int) {
	s.of.held += int64(n)
	if s.of.byOwner[s.owner] += int64(n); s.of.byOwner[s.owner] == 0 {
		delete(s.of.byOwner, s.owner)
	}
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
