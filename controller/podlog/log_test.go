package podlog_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
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

// stamped returns content as a kubelet serves it: with a timestamp before each line. Lines are a millisecond apart.
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

// unpacked decompresses blocks as one gzip stream.
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
		t.Errorf("the blocks have %d bytes, want the sum of their sizes, %d", len(content), size)
	}
	return content
}

func write(t testing.TB, l *podlog.Log, r io.Reader) {
	t.Helper()
	if _, err := io.Copy(struct{ io.Writer }{l}, r); err != nil {
		t.Fatal(err)
	}
}

// check checks that a result has the content without what it says it omitted, and that it is within its limit.
func check(t *testing.T, r podlog.Result, content []byte, limit int64) {
	t.Helper()
	got := unpacked(t, r.Blocks)
	if r.Bytes != int64(len(content)) || int64(len(got))+r.Omitted != r.Bytes {
		t.Errorf("Bytes is %d with %d bytes stored and %d omitted; the log has %d",
			r.Bytes, len(got), r.Omitted, len(content))
		return
	}
	if int64(len(got)) > limit {
		t.Errorf("%d bytes are stored, want at most %d", len(got), limit)
	}
	head, tail := content[:r.OmittedAt], content[r.OmittedAt+r.Omitted:]
	if !bytes.Equal(got[:r.OmittedAt], head) || !bytes.Equal(got[r.OmittedAt:], tail) {
		t.Error("the stored bytes are not head and tail of the log")
	}
}

func TestLogStoresWhatTheContainerWrote(t *testing.T) {
	random := make([]byte, 3*limit)
	source := rand.New(rand.NewPCG(1, 2))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	oneBlock := bytes.Repeat([]byte("0123456\n"), block/8)
	const complete, omitted = true, false
	tests := map[string]struct {
		content    []byte
		isComplete bool
	}{
		"an empty log is complete":              {nil, complete},
		"a line is complete":                    {[]byte("hello\n"), complete},
		"a last line may have no newline":       {[]byte("a\nb"), complete},
		"lines may be empty":                    {[]byte("\n\n\n"), complete},
		"carriage returns stay":                 {[]byte("a\r\nb\r\n"), complete},
		"times that a container writes stay":    {[]byte("2026-03-01T12:00:00Z 2026-03-01T12:00:00Z x\n"), complete},
		"NUL and invalid UTF-8 stay":            {[]byte("a\x00b\xff\xfe\xc3(\n\x80\n"), complete},
		"a log of one block is complete":        {oneBlock, complete},
		"one block and a byte is complete":      {append(bytes.Clone(oneBlock), 'x'), complete},
		"a log of half the limit is complete":   {random[:limit/2], complete},
		"half the limit and a byte is complete": {random[:limit/2+1], complete},
		"a log of the limit is complete":        {random[:limit], complete},
		"a log of the limit and a byte is cut":  {random[:limit+1], omitted},
		"a log of three times the limit is cut": {random, omitted},
		"a line longer than the limit is cut":   {bytes.Repeat([]byte("x"), 5*limit), omitted},
		"many short lines are cut":              {bytes.Repeat([]byte("x\n"), 2*limit), omitted},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stream := stamped(tt.content)
			for pieces, reader := range map[string]io.Reader{
				"in one piece":   bytes.NewReader(stream),
				"in half pieces": iotest.HalfReader(bytes.NewReader(stream)),
				"byte by byte":   iotest.OneByteReader(bytes.NewReader(stream)),
			} {
				l := podlog.New(limit, nil)
				write(t, l, reader)
				r := l.Finish()
				check(t, r, tt.content, limit)
				if isComplete := r.Omitted == 0; isComplete != tt.isComplete {
					t.Errorf("written %s: %d bytes omitted of %d", pieces, r.Omitted, r.Bytes)
				}
				if note := l.TakeNote(); r.Short || r.Gap || note != "" {
					t.Errorf("written %s: Short %t, Gap %t, note %q", pieces, r.Short, r.Gap, note)
				}
				lines := len(slices.Collect(bytes.Lines(tt.content)))
				if lines == 0 {
					continue
				}
				ends := t0.Add(time.Duration(lines-1) * time.Millisecond)
				if !r.Begins.Equal(t0) || !r.Ends.Equal(ends) {
					t.Errorf("written %s: from %s to %s, want %s to %s", pieces, r.Begins, r.Ends, t0, ends)
				}
			}
		})
	}
}

func TestALongLogKeepsHalfItsLimitAsHeadAndHalfAsTail(t *testing.T) {
	content := bytes.Repeat([]byte("0123456\n"), 10*limit/8)
	l := podlog.New(limit, nil)
	write(t, l, bytes.NewReader(stamped(content)))
	r := l.Finish()
	check(t, r, content, limit)
	head, tail := r.OmittedAt, r.Bytes-r.OmittedAt-r.Omitted
	if head != limit/2 || tail <= limit/2-block {
		t.Errorf("%d bytes of head and %d of tail, want %d and at most a block less", head, tail, limit/2)
	}
}

func TestALineWithoutATimestampIsANote(t *testing.T) {
	const noLog = "unable to retrieve container logs for containerd://abc"
	words := strings.Repeat("word ", 1000)
	oneLine := string(stamped([]byte("x\n")))
	tests := map[string]struct{ stream, log, note string }{
		"a note may come instead of a log":    {noLog, "", noLog},
		"a note may come after the log":       {oneLine + "failed to read log file", "x\n", "failed to read log file"},
		"a note may come before the log":      {"note\n" + oneLine, "x\n", "note"},
		"a note may have no space":            {strings.Repeat("x", 100), "", strings.Repeat("x", 100)},
		"a note may be shorter than a time":   {"no such\n" + oneLine, "x\n", "no such"},
		"a long note is cut":                  {words, "", words[:1024]},
		"a line with an offset is not a note": {"2026-03-01T14:00:00.5+02:00 x\n", "x\n", ""},
		"a line with half a time is a note":   {"2026-03-01T14: x\n", "", "2026-03-01T14: x"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			l := podlog.New(limit, nil)
			write(t, l, iotest.HalfReader(strings.NewReader(tt.stream)))
			note, second := l.TakeNote(), l.TakeNote()
			if got := string(unpacked(t, l.Finish().Blocks)); got != tt.log || note != tt.note || second != "" {
				t.Errorf("log %q, note %q, want %q and %q; second note %q", got, note, tt.log, tt.note, second)
			}
		})
	}
}

// line is content with a timestamp at a number of milliseconds past t0.
func line(ms int, content string) string {
	return t0.Add(time.Duration(ms)*time.Millisecond).Format(time.RFC3339Nano) + " " + content
}

// TestASecondStreamContinuesWhereTheFirstBroke breaks a stream at every byte.
func TestASecondStreamContinuesWhereTheFirstBroke(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		// later is the line from which a second stream may begin that does not begin at the start. Zero: none does.
		later int
		want  string
	}{
		"lines have the same time": {
			lines: []string{
				line(0, "a\n"), line(1, "a\n"), line(1, "a\n"), line(1, "\n"),
				line(2000, "longer line\n"), line(2000, "longer line\n"), line(2001, "end"),
			},
			later: 4,
			want:  "a\na\na\n\nlonger line\nlonger line\nend",
		},
		"the times of two outputs are not in order": {
			lines: []string{
				line(5, "e\n"), line(3, "o\n"), line(5, "e\n"), line(4, "o\n"), line(900, "e\n"), line(890, "o\n"),
				line(901, "e\n"), line(899, "o\n"), line(899, "last\n"),
			},
			want: "e\no\ne\no\ne\no\ne\no\nlast\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			stream := strings.Join(tt.lines, "")
			for cut := range len(stream) {
				l := podlog.New(limit, nil)
				write(t, l, strings.NewReader(stream[:cut]))
				second := stream
				if tt.later > 0 && l.Since().After(t0) {
					second = "rest of a line that began before\n" + strings.Join(tt.lines[tt.later:], "")
				}
				l.Resume()
				write(t, l, iotest.HalfReader(strings.NewReader(second)))
				r, note := l.Finish(), l.TakeNote()
				got := string(unpacked(t, r.Blocks))
				if got != tt.want || r.Gap || !l.Continued() || note != "" {
					t.Errorf("broken after %q: log %q, Gap %t, Continued %t, note %q",
						stream[:cut], got, r.Gap, l.Continued(), note)
				}
			}
		})
	}
}

func TestASecondStreamThatBeginsTooLateLeavesAGap(t *testing.T) {
	l := podlog.New(limit, nil)
	write(t, l, strings.NewReader(line(0, "a\n")+line(1, "b")))
	l.Resume()
	write(t, l, strings.NewReader(line(5, "f\n")))
	r := l.Finish()
	if got := string(unpacked(t, r.Blocks)); got != "a\nbf\n" || !r.Gap {
		t.Errorf("log %q, Gap %t; want all that was read, and a gap", got, r.Gap)
	}
}

func TestASecondStreamThatEndsTooEarlyHasNotContinued(t *testing.T) {
	l := podlog.New(limit, nil)
	write(t, l, strings.NewReader(line(0, "a\n")+line(2000, "b\n")+line(2001, "c\n")))
	l.Resume()
	write(t, l, strings.NewReader(line(2000, "b\n")))
	if l.Continued() {
		t.Error("the second stream has continued, although it lacks the last line of the first")
	}
	if got, want := string(unpacked(t, l.Finish().Blocks)), "a\nb\nc\n"; got != want {
		t.Errorf("log %q, want %q", got, want)
	}
}

// TestLogsShareABudget writes logs that are together larger than their budget. Each stores its first and its last block
// and says exactly what it omitted. Memory that is released can be used again.
func TestLogsShareABudget(t *testing.T) {
	random := make([]byte, 2*limit)
	source := rand.New(rand.NewPCG(3, 4))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	const budget = 5 * limit
	shared := podlog.NewBudget(budget)
	var logs []*podlog.Log
	held, short := 0, 0
	for range 10 {
		l := podlog.New(limit, shared.Of("a"))
		write(t, l, bytes.NewReader(stamped(random)))
		r := l.Finish()
		check(t, r, random, limit)
		if r.OmittedAt < block || r.OmittedAt+r.Omitted == r.Bytes {
			t.Errorf("%d bytes after the first %d are omitted of %d: the first or the last block is missing",
				r.Omitted, r.OmittedAt, r.Bytes)
		}
		for _, block := range r.Blocks {
			held += len(block.Gzip)
		}
		if r.Short {
			short++
		}
		logs = append(logs, l)
	}
	if most := budget/2 + 10*2*(block+1024); held > most || short == 0 {
		t.Errorf("%d bytes are held, want at most %d; %d logs are short, want some", held, most, short)
	}
	for _, l := range logs {
		l.Release()
	}
	l := podlog.New(limit, shared.Of("a"))
	write(t, l, bytes.NewReader(stamped(random)))
	if r := l.Finish(); r.Short {
		t.Error("released memory cannot be used again")
	}
}

// TestOwnersShareABudget writes more logs of one owner than the budget has memory for, and then logs of others. Each
// owner has half of what those before it left.
func TestOwnersShareABudget(t *testing.T) {
	random := make([]byte, 2*limit)
	source := rand.New(rand.NewPCG(5, 6))
	for i := range random {
		random[i] = byte(source.Uint32())
	}
	shared, whole := podlog.NewBudget(17*limit), map[string]int{}
	for _, owner := range []string{"a", "b", "c"} {
		for range 20 {
			l := podlog.New(limit, shared.Of(owner))
			write(t, l, bytes.NewReader(stamped(random)))
			if l.Finish().Short {
				l.Release()
			} else {
				whole[owner]++
			}
		}
	}
	if want := map[string]int{"a": 8, "b": 4, "c": 2}; !maps.Equal(whole, want) {
		t.Errorf("whole logs by owner are %v, want %v", whole, want)
	}
}

// longStream generates lines with timestamps, or one long line.
type longStream struct {
	left     int64 // bytes
	hasLines bool
	block    []byte
	hasBegun bool
}

func (s *longStream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.EOF
	}
	if s.block == nil {
		s.block = bytes.Repeat([]byte("x"), 16<<10)
		if s.hasLines {
			sentence := []byte("the quick brown fox jumps over the lazy dog, again and again and again and again\n")
			s.block = stamped(bytes.Repeat(sentence, 200))
		}
	}
	if !s.hasBegun && !s.hasLines {
		s.hasBegun = true
		return copy(p, t0.Format(time.RFC3339Nano)+" "), nil
	}
	n := copy(p, s.block)
	if n < len(s.block) {
		return 0, errors.New("the buffer is too small")
	}
	s.left -= int64(n)
	return n, nil
}

// TestMemoryIsBounded writes more than the limit. The memory in use stays below twice the limit. The number of
// allocations grows with the blocks, not with the lines.
func TestMemoryIsBounded(t *testing.T) {
	for name, source := range map[string]*longStream{
		"a log of sixteen times the limit": {left: 128 << 20, hasLines: true},
		"a line of 50 MB":                  {left: 50_000_000},
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
				t.Errorf("%d bytes are in use for a log of at most %d", held, limit)
			}
			if allocs := after.Mallocs - before.Mallocs; allocs > uint64(r.Bytes/(128<<10))*8+10_000 {
				t.Errorf("%d allocations, which grow with the lines", allocs)
			}
		})
	}
}

// FuzzLog checks that head, omitted bytes and tail are the log, whatever is written and in whatever pieces.
func FuzzLog(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), uint16(3), uint16(100), uint16(7))
	f.Add(bytes.Repeat([]byte("0123456789\n"), 200), uint16(50), uint16(64), uint16(0))
	f.Fuzz(func(t *testing.T, content []byte, piece, limit, budget uint16) {
		var shared *podlog.Share
		if budget > 0 {
			shared = podlog.NewBudget(2 * int64(budget)).Of("")
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
