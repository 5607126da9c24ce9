package podlog

import (
	"bytes"
	"unicode/utf8"
)

// Pieces splits a log into pieces of text of at most MaxPiece bytes. A piece has whole lines, or a part of a line that
// is longer than MaxPiece. It does not end within a UTF-8 character.
type Pieces struct{ pending []byte }

// Add adds the next part of a log, and emits each full piece. A piece is valid during the call of emit.
func (p *Pieces) Add(part []byte, emit func(piece []byte) error) error {
	p.pending = append(p.pending, part...)
	for len(p.pending) > MaxPiece {
		if err := p.cut(cutAt(p.pending[:MaxPiece]), emit); err != nil {
			return err
		}
	}
	return nil
}

// Flush emits the whole lines that are pending.
func (p *Pieces) Flush(emit func(piece []byte) error) error {
	return p.cut(bytes.LastIndexByte(p.pending, '\n')+1, emit)
}

// FlushAll emits all that is pending.
func (p *Pieces) FlushAll(emit func(piece []byte) error) error { return p.cut(len(p.pending), emit) }

// IsEmpty reports whether nothing is pending.
func (p *Pieces) IsEmpty() bool { return len(p.pending) == 0 }

// Drop discards all that is pending.
func (p *Pieces) Drop() { p.pending = p.pending[:0] }

func (p *Pieces) cut(n int, emit func(piece []byte) error) error {
	if n == 0 {
		return nil
	}
	err := emit(p.pending[:n])
	p.pending = p.pending[:copy(p.pending, p.pending[n:])]
	return err
}

// cutAt returns where to split a text: after its last newline, or before an incomplete UTF-8 character at its end.
func cutAt(text []byte) int {
	if end := bytes.LastIndexByte(text, '\n') + 1; end > 0 {
		return end
	}
	for back := 1; back < utf8.UTFMax && back < len(text); back++ {
		if begin := len(text) - back; utf8.RuneStart(text[begin]) {
			if !utf8.FullRune(text[begin:]) {
				return begin
			}
			break
		}
	}
	return len(text)
}
