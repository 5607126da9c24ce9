package podlog_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"kontroler/controller/podlog"
)

const (
	limit = 256 << 10
	block = limit / 8
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

// stamped is content as a kubelet serves it: the time before each line, one line a millisecond.
func stamped(content []byte) []byte {
	var b bytes.Buffer
	n := 0
	for line := range bytes.Lines(content) {
		b.WriteString(t0.Add(time.Duration(n)*time.Millisecond).Format("2006-01-02T15:04:05.000000000Z07:00") + " ")
		b.Write(line)
		n++
	}
	return b.Bytes()
}

// unpacked are the blocks as one gzip stream.
func unpacked(t testing.TB, blocks []podlog.Block) []byte {
	t.Helper()
	var b bytes.Buffer
	size := 0
	for _, block := range blocks {
		b.Write(block.Gzip)
		size += block.Size
	}
	if len(blocks) == 0 {
		return nil
	}
	r, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != size {
		t.Errorf("the blocks have %d bytes, they say %d", len(content), size)
	}
	return content
}

func write(t testing.TB, l *podlog.Log, r io.Reader) {
	t.Helper()
	if _, err := io.Copy(struct{ io.Writer }{l}, r); err != nil {
		t.Fatal(err)
	}
}

// check checks that a result is content, but for what it says to have omitted, and within its limit.
func check(t *testing.T, r podlog.Result, content []byte, limit int64) {
	t.Helper()
	got := unpacked(t, r.Blocks)
	if r.Bytes != int64(len(content)) || int64(len(got))+r.Omitted != r.Bytes {
		t.Errorf("%d bytes kept and %d omitted are said to be %d, the log has %d", len(got), r.Omitted, r.Bytes, len(content))
		return
	}
	if int64(len(got)) > limit {
		t.Errorf("%d bytes kept of at most %d", len(got), limit)
	}
	head, tail := content[:r.OmittedAt], content[r.OmittedAt+r.Omitted:]
	if !bytes.Equal(got[:r.OmittedAt], head) || !bytes.Equal(got[r.OmittedAt:], tail) {
		t.Error("what is kept is not head and tail of the log")
	}
}

func TestLog(t *testing.T) {
	random := make([]byte, 3*limit)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	tests := map[string]struct {
		content []byte
		whole   bool
	}{
		"empty":                     {nil, true},
		"a line":                    {[]byte("hello\n"), true},
		"no newline at the end":     {[]byte("a\nb"), true},
		"empty lines":               {[]byte("\n\n\n"), true},
		"carriage returns":          {[]byte("a\r\nb\r\n"), true},
		"a time in the line":        {[]byte("2026-03-01T12:00:00Z 2026-03-01T12:00:00Z x\n"), true},
		"NUL and invalid UTF-8":     {[]byte("a\x00b\xff\xfe\xc3(\n\x80\n"), true},
		"a block":                   {bytes.Repeat([]byte("0123456\n"), block/8), true},
		"a block and a byte":        {append(bytes.Repeat([]byte("0123456\n"), block/8), 'x'), true},
		"half the limit":            {random[:limit/2], true},
		"half the limit and a byte": {random[:limit/2+1], true},
		"the limit":                 {random[:limit], true},
		"the limit and a byte":      {random[:limit+1], false},
		"three times the limit":     {random, false},
		"one long line":             {bytes.Repeat([]byte("x"), 5*limit), false},
		"many short lines":          {bytes.Repeat([]byte("x\n"), 2*limit), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			stream := stamped(test.content)
			for kind, reader := range map[string]io.Reader{
				"whole": bytes.NewReader(stream), "halves": iotest.HalfReader(bytes.NewReader(stream)), "bytes": iotest.OneByteReader(bytes.NewReader(stream)),
			} {
				l := podlog.New(limit, nil)
				write(t, l, reader)
				r := l.Finish()
				check(t, r, test.content, limit)
				if whole := r.Omitted == 0; whole != test.whole {
					t.Errorf("%s: %d bytes omitted of %d", kind, r.Omitted, r.Bytes)
				}
				if note := l.TakeNote(); r.Short || r.Gap || note != "" {
					t.Errorf("%s: short %t, gap %t, note %q", kind, r.Short, r.Gap, note)
				}
				lines := bytes.Count(test.content, []byte("\n"))
				if !bytes.HasSuffix(test.content, []byte("\n")) && len(test.content) > 0 {
					lines++
				}
				if want := t0.Add(time.Duration(lines-1) * time.Millisecond); lines > 0 && (!r.Begins.Equal(t0) || !r.Ends.Equal(want)) {
					t.Errorf("%s: from %s to %s, want %s to %s", kind, r.Begins, r.Ends, t0, want)
				}
			}
		})
	}
}

// TestTail: what is cut keeps at least all of the half that is the head, and of the other all but a block.
func TestTail(t *testing.T) {
	content := bytes.Repeat([]byte("0123456\n"), 10*limit/8)
	l := podlog.New(limit, nil)
	write(t, l, bytes.NewReader(stamped(content)))
	r := l.Finish()
	check(t, r, content, limit)
	if r.OmittedAt != limit/2 || r.Bytes-r.OmittedAt-r.Omitted <= limit/2-block {
		t.Errorf("%d bytes of head, %d of tail", r.OmittedAt, r.Bytes-r.OmittedAt-r.Omitted)
	}
}

// TestNotes: what the kubelet says is no log.
func TestNotes(t *testing.T) {
	line := string(stamped([]byte("x\n")))
	tests := map[string]struct{ stream, log, note string }{
		"no log":            {"unable to retrieve container logs for containerd://abc", "", "unable to retrieve container logs for containerd://abc"},
		"after the log":     {line + "failed to read log file", "x\n", "failed to read log file"},
		"before the log":    {"note\n" + line, "x\n", "note"},
		"no space in it":    {strings.Repeat("x", 100), "", strings.Repeat("x", 100)},
		"a short word":      {"no such\n" + line, "x\n", "no such"},
		"something lengthy": {strings.Repeat("word ", 1000), "", strings.TrimSpace(strings.Repeat("word ", 1024/5+1)[:1024])},
		"an offset":         {"2026-03-01T14:00:00.5+02:00 x\n", "x\n", ""},
		"a half time":       {"2026-03-01T14: x\n", "", "2026-03-01T14: x"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			l := podlog.New(limit, nil)
			write(t, l, iotest.HalfReader(strings.NewReader(test.stream)))
			note, again := l.TakeNote(), l.TakeNote()
			if got := string(unpacked(t, l.Finish().Blocks)); got != test.log || note != test.note || again != "" {
				t.Errorf("log %q, note %q, then %q", got, note, again)
			}
		})
	}
}

// TestResume breaks a stream at every byte and continues it with one that begins earlier: nothing is missing or twice.
func TestResume(t *testing.T) {
	at := func(ms int) string { return t0.Add(time.Duration(ms)*time.Millisecond).Format(time.RFC3339Nano) + " " }
	stream := at(0) + "a\n" + at(1) + "a\n" + at(1) + "a\n" + at(1) + "\n" + at(2000) + "longer line\n" + at(2000) + "longer line\n" + at(2001) + "end"
	want := "a\na\na\n\nlonger line\nlonger line\nend"
	for cut := range len(stream) {
		l := podlog.New(limit, nil)
		write(t, l, strings.NewReader(stream[:cut]))
		since := l.Since()
		rest := stream
		if since.After(t0) {
			rest = "rest of a line that began before\n" + stream[strings.Index(stream, at(2000)):]
		}
		l.Resume()
		write(t, l, iotest.HalfReader(strings.NewReader(rest)))
		r := l.Finish()
		if got, note := string(unpacked(t, r.Blocks)), l.TakeNote(); got != want || r.Gap || note != "" {
			t.Errorf("broken after %q: %q, gap %t, note %q", stream[:cut], got, r.Gap, note)
		}
	}
	// Two outputs are stamped each by itself: what comes later may be said to be earlier.
	crossed := at(5) + "e\n" + at(3) + "o\n" + at(5) + "e\n" + at(4) + "o\n" + at(900) + "e\n" + at(890) + "o\n" + at(901) + "e\n" + at(899) + "o\n" + at(899) + "last\n"
	for cut := range len(crossed) {
		l := podlog.New(limit, nil)
		write(t, l, strings.NewReader(crossed[:cut]))
		l.Resume()
		write(t, l, iotest.HalfReader(strings.NewReader(crossed)))
		if r := l.Finish(); string(unpacked(t, r.Blocks)) != "e\no\ne\no\ne\no\ne\no\nlast\n" || r.Gap || !l.Continued() {
			t.Errorf("broken after %q: %q, gap %t", crossed[:cut], unpacked(t, r.Blocks), r.Gap)
		}
	}
	l := podlog.New(limit, nil)
	write(t, l, strings.NewReader(at(0)+"a\n"+at(1)+"b"))
	l.Resume()
	write(t, l, strings.NewReader(at(5)+"f\n"))
	if r := l.Finish(); string(unpacked(t, r.Blocks)) != "a\nbf\n" || !r.Gap {
		t.Errorf("a gap is not told: %+v", r)
	}
}

// TestBudget: logs that share a budget stay within it, and each keeps its first and its last block and tells exactly what
// it omitted. What one gives back, others have.
func TestBudget(t *testing.T) {
	random := make([]byte, 2*limit)
	source := rand.New(rand.NewPCG(3, 4))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	const budget = 2 * limit
	shared := podlog.NewBudget(budget)
	var logs []*podlog.Log
	held, short := 0, 0
	for range 10 {
		l := podlog.New(limit, shared)
		write(t, l, bytes.NewReader(stamped(random)))
		r := l.Finish()
		check(t, r, random, limit)
		if r.OmittedAt < block || r.OmittedAt+r.Omitted == r.Bytes {
			t.Errorf("%d bytes of head, %d omitted of %d", r.OmittedAt, r.Omitted, r.Bytes)
		}
		for _, block := range r.Blocks {
			held += len(block.Gzip)
		}
		if r.Short {
			short++
		}
		logs = append(logs, l)
	}
	if most := budget + 10*2*(block+1024); held > most || short == 0 {
		t.Errorf("%d bytes held of at most %d, %d are short", held, most, short)
	}
	for _, l := range logs {
		l.Release()
	}
	l := podlog.New(limit, shared)
	write(t, l, bytes.NewReader(stamped(random)))
	if r := l.Finish(); r.Short {
		t.Error("what was given back is not there")
	}
}

// endless generates a stream of stamped lines, or of one line.
type endless struct {
	left  int64
	lines bool
	block []byte
	begun bool
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	if e.block == nil {
		e.block = bytes.Repeat([]byte("x"), 16<<10)
		if e.lines {
			e.block = stamped(bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog, again and again and again and again\n"), 200))
		}
	}
	if !e.begun && !e.lines {
		e.begun = true
		return copy(p, t0.Format(time.RFC3339Nano)+" "), nil
	}
	n := copy(p, e.block)
	if n < len(e.block) {
		return 0, errors.New("the buffer is too small")
	}
	e.left -= int64(n)
	return n, nil
}

// TestMemory reads a log of sixteen times the limit and a line of 50 MB: what is allocated in all does not grow with
// the log, but for the blocks that fall from the tail, and what is held stays below twice the limit.
func TestMemory(t *testing.T) {
	for name, source := range map[string]*endless{
		"128 MiB in lines": {left: 128 << 20, lines: true}, "a line of 50 MB": {left: 50_000_000},
	} {
		t.Run(name, func(t *testing.T) {
			const limit = 8 << 20
			var before, after, peak runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			l := podlog.New(limit, nil)
			buffer := make([]byte, 64<<10)
			for n := 0; ; n++ {
				got, err := source.Read(buffer)
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				_, _ = l.Write(buffer[:got])
				if n%100 == 0 {
					runtime.GC()
					runtime.ReadMemStats(&after)
					peak.HeapAlloc = max(peak.HeapAlloc, after.HeapAlloc)
				}
			}
			runtime.ReadMemStats(&after)
			r := l.Finish()
			if r.Omitted == 0 || r.Bytes-r.Omitted > limit {
				t.Errorf("%d bytes, %d omitted", r.Bytes, r.Omitted)
			}
			if held := int64(peak.HeapAlloc) - int64(before.HeapAlloc); held > 2*limit {
				t.Errorf("%d bytes held for a log of at most %d", held, limit)
			}
			if allocs := after.Mallocs - before.Mallocs; allocs > uint64(r.Bytes/(128<<10))*8+10_000 {
				t.Errorf("%d allocations: they grow with the lines", allocs)
			}
		})
	}
}

// FuzzLog: whatever is written, in whatever pieces, head + omitted + tail is the log.
func FuzzLog(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), uint16(3), uint16(100), uint16(7))
	f.Add(bytes.Repeat([]byte("0123456789\n"), 200), uint16(50), uint16(64), uint16(0))
	f.Fuzz(func(t *testing.T, content []byte, piece, limit, budget uint16) {
		var shared *podlog.Budget
		if budget > 0 {
			shared = podlog.NewBudget(int64(budget))
		}
		most := int64(limit) + 1
		l := podlog.New(most, shared)
		stream := stamped(content)
		for len(stream) > 0 {
			n := min(len(stream), int(piece)+1)
			_, _ = l.Write(stream[:n])
			stream = stream[n:]
		}
		check(t, l.Finish(), content, most)
	})
}

func ExampleLog() {
	l := podlog.New(8<<20, nil)
	_, _ = io.Copy(l, strings.NewReader("2026-03-01T12:00:00.000000001Z hello\n"))
	r := l.Finish()
	fmt.Println(r.Bytes, r.Omitted, r.Begins)
	// Output: 6 0 2026-03-01 12:00:00.000000001 +0000 UTC
}
