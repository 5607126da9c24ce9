package podlog_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"kontroler/httpapi/podlog"
	"kontroler/store/view"
)

var t0 = time.Date(2026, 7, 1, 12, 0, 0, 123456000, time.UTC)

func TestParsePosition(t *testing.T) {
	for text, want := range map[string]podlog.Position{
		"2026-07-01T12:00:00.123456Z/0":          {Begins: t0},
		"2026-07-01T12:00:00.123456Z/9000000000": {Begins: t0, Offset: 9_000_000_000},
		"2026-07-01T14:00:00.123456789+02:00/12": {Begins: t0, Offset: 12},
		"0001-01-02T00:00:00Z/9223372036854775807": {
			Begins: time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), Offset: 1<<63 - 1,
		},
	} {
		got, ok := podlog.ParsePosition(text)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%s: %t (-want +got):\n%s", text, ok, diff)
		}
		if again, ok := podlog.ParsePosition(got.String()); !ok || again != got {
			t.Errorf("%s is %s, and that is %v", text, got, again)
		}
	}
	for _, text := range []string{
		"", "/", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z/", "2026-07-01T12:00:00Z/-1", "2026-07-01T12:00:00Z/x",
		"2026-07-01/1", "x/1", "2026-07-01T12:00:00Z/9223372036854775808", "2026-07-01T12:00:00Z/1/2",
		"0000-07-01T12:00:00Z/1",
	} {
		if got, ok := podlog.ParsePosition(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
	if text := (podlog.Position{}).String(); text != "" {
		t.Errorf("the zero Position is %q", text)
	}
}

// TestResume checks whether a log has a position.
func TestResume(t *testing.T) {
	nanoseconds := t0.Add(789 * time.Nanosecond) // as a node has them, and the database has not
	from := podlog.Position{Begins: t0, Offset: 100}
	for name, tt := range map[string]struct {
		at   podlog.Position
		log  view.Log
		want podlog.Reset
	}{
		"the beginning of any log": {podlog.Position{}, view.Log{IsIncomplete: true}, ""},
		"the same beginning":       {from, view.Log{BeginsAt: t0, Bytes: 200}, ""},
		"the end":                  {from, view.Log{BeginsAt: t0, Bytes: 100}, ""},
		"another beginning":        {from, view.Log{BeginsAt: t0.Add(time.Second), Bytes: 200}, podlog.Rotated},
		"an empty log":             {from, view.Log{}, podlog.Rotated},
		"a log that ends before":   {from, view.Log{BeginsAt: t0, Bytes: 99}, podlog.Shorter},
		"a log that may lack lines": {
			from, view.Log{BeginsAt: t0, Bytes: 200, IsIncomplete: true}, podlog.Incomplete,
		},
		"a log that may lack its first lines": {from, view.Log{BeginsAt: t0, Bytes: 200, IsRotated: true}, ""},
		"within what is omitted": {
			from, view.Log{BeginsAt: t0, Bytes: 200, OmittedAt: 50, Omitted: 100}, "",
		},
		"another beginning that may lack lines": {
			from, view.Log{BeginsAt: t0.Add(time.Second), Bytes: 200, IsIncomplete: true}, podlog.Rotated,
		},
	} {
		if got := tt.at.ResetForStored(tt.log); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		begins time.Time
		want   podlog.Reset
	}{
		"the same beginning": {nanoseconds, ""},
		"another beginning":  {t0.Add(time.Microsecond), podlog.Rotated},
	} {
		if got := from.ResetFor(tt.begins); got != tt.want {
			t.Errorf("%s at a node: %q, want %q", name, got, tt.want)
		}
	}
}

func TestStoredPlaces(t *testing.T) {
	log := view.Log{Bytes: 1000, OmittedAt: 100, Omitted: 700}
	for offset, want := range map[int64][2]int64{
		0: {0, 0}, 99: {99, 0}, 100: {100, 700}, 101: {100, 699}, 799: {100, 1}, 800: {100, 0}, 801: {101, 0},
		1000: {300, 0},
	} {
		place, missing := podlog.StoredAt(log, offset)
		if got := [2]int64{place, missing}; got != want {
			t.Errorf("offset %d: place and missing bytes %v, want %v", offset, got, want)
		}
	}
	if place, missing := podlog.StoredAt(view.Log{Bytes: 1000}, 500); place != 500 || missing != 0 {
		t.Errorf("without omission: %d, %d", place, missing)
	}
}

func TestLines(t *testing.T) {
	const first, second = "2026-07-01T12:00:00.123456Z", "2026-07-01T14:00:01+02:00"
	long := strings.Repeat("x", 150_000)
	for name, tt := range map[string]struct {
		stream string
		want   []podlog.Line
	}{
		"nothing": {"", nil},
		"lines": {
			first + " a\n" + second + " \n" + first + " b c\n",
			[]podlog.Line{{t0, "a\n"}, {t0.Truncate(time.Second).Add(time.Second), "\n"}, {t0, "b c\n"}},
		},
		"a line without a newline":     {first + " end", []podlog.Line{{t0, "end"}}},
		"carriage returns and no text": {first + " \r\x00\xff\r\n", []podlog.Line{{t0, "\r\x00\xff\r\n"}}},
		"a line that looks like two":   {first + " " + second + " x\n", []podlog.Line{{t0, second + " x\n"}}},
	} {
		for _, r := range map[string]func() ([]podlog.Line, error){
			"at once": func() ([]podlog.Line, error) { return podlog.ReadLines(strings.NewReader(tt.stream)) },
			"by byte": func() ([]podlog.Line, error) {
				return podlog.ReadLines(iotest.OneByteReader(strings.NewReader(tt.stream)))
			},
		} {
			got, err := r()
			for i := range got {
				got[i].At = got[i].At.UTC()
			}
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
			}
		}
	}
	got, err := podlog.ReadLines(strings.NewReader(first + " " + long + "\n" + first + " b\n"))
	var all strings.Builder
	times := 0
	for _, line := range got {
		if all.WriteString(line.Content); !line.At.IsZero() {
			times++
		}
		if len(line.Content) > podlog.MaxPiece+64 {
			t.Errorf("a part of %d bytes", len(line.Content))
		}
	}
	if err != nil || all.String() != long+"\nb\n" || times != 2 || len(got) < 3 {
		t.Errorf("a long line: %d parts, %d times, %d bytes, %v", len(got), times, all.Len(), err)
	}
}

// TestNotes checks that a message that the kubelet sends instead of a log is not treated as a line.
func TestNotes(t *testing.T) {
	for _, stream := range []string{
		"unable to retrieve container logs for containerd://abc", "failed to open: no such file\n", "\n", " x\n",
		"2026-07-01T12:00:00Z a\nfailed to create fsnotify watcher\n",
	} {
		if _, err := podlog.ReadLines(strings.NewReader(stream)); !errors.Is(err, podlog.ErrNote) {
			t.Errorf("%q: %v", stream, err)
		}
	}
}

// text is a Sink that collects a log.
type text struct{ strings.Builder }

func (*text) Begin(podlog.Place) error             { return nil }
func (*text) Reset(podlog.Reset) error             { return errors.New("reset") }
func (*text) Omitted(podlog.Position, int64) error { return errors.New("omitted") }
func (s *text) Write(_ podlog.Position, part []byte) error {
	_, err := s.Builder.Write(part)
	return err
}
func (*text) Flush() error { return nil }

// TestNoteWithinALine follows the log of a container that its node removes. The message of the kubelet follows a line
// without a newline, and is not treated as a part of it.
func TestNoteWithinALine(t *testing.T) {
	const begin = "2026-07-01T12:00:00Z one\n2026-07-01T12:00:01Z two"
	const note = `rpc error: code = NotFound desc = container "abc": not found`
	for name, tt := range map[string]struct{ rest, want string }{
		"the node still has the log":  {begin, "one\ntwo"},
		"more of the line":            {begin + " three\n", "one\ntwo three\n"},
		"a note after a newline":      {"2026-07-01T12:00:00Z one\n", "one\n"},
		"the log was rotated":         {"2026-07-01T12:00:09Z x\n2026-07-01T12:00:10Z two", "one\ntwo"},
		"nothing after rotation":      {"", "one\ntwo" + note}, // nothing shows where the line ended
		"it continues after rotation": {"2026-07-01T12:00:09Z x\n2026-07-01T12:00:10Z two\n", "one\n"},
	} {
		node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !strings.HasSuffix(r.URL.Path, "/log"):
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"pod","uid":"1"}}`)
			case r.URL.Query().Get("follow") == "true":
				_, _ = io.WriteString(w, begin+note)
			default:
				_, _ = io.WriteString(w, tt.rest)
			}
		}))
		defer node.Close()
		kube, err := kubernetes.NewForConfig(&rest.Config{Host: node.URL})
		if err != nil {
			t.Fatal(err)
		}
		logs, got := podlog.Logs{Pods: kube.CoreV1()}, &text{}
		if err := logs.Follow(t.Context(), "default", "pod", "1", got); err != nil || got.String() != tt.want {
			t.Errorf("%s: %v, %q, want %q", name, err, got, tt.want)
		}
	}
}

// TestEndThatCannotBeRead checks that a part of the last line is not passed on as the end of a log while the rest
// cannot be read.
func TestEndThatCannotBeRead(t *testing.T) {
	for stored, want := range map[string]string{"a\ntwo": "two", "a\ntw": ""} {
		got := &text{}
		err := podlog.FinishFrom(stored, len("a\ntwo"), "two and a note", got)
		if got.String() != want || errors.Is(err, view.ErrUnavailable) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", stored, got, err, want)
		}
	}
}

func TestTail(t *testing.T) {
	for name, tt := range map[string]struct {
		n     int
		parts []string
		want  string // what is left
	}{
		"nothing":                       {3, nil, ""},
		"fewer lines":                   {3, []string{"a\nb\n"}, "a\nb\n"},
		"as many lines":                 {2, []string{"a\nb\n"}, "a\nb\n"},
		"more lines":                    {2, []string{"a\nb\nc\n"}, "b\nc\n"},
		"the last line has no newline":  {2, []string{"a\nb\nc"}, "b\nc"},
		"empty lines":                   {2, []string{"a\n\n\n"}, "\n\n"},
		"lines in parts":                {2, []string{"a", "a\n", "", "b", "\nc", "\n"}, "b\nc\n"},
		"one of many":                   {1, []string{strings.Repeat("line\n", 1000)}, "line\n"},
		"a part that ends with newline": {1, []string{"a\n", "b\n"}, "b\n"},
	} {
		all := strings.Join(tt.parts, "")
		if got := all[podlog.TailOffset(tt.n, tt.parts...):]; got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// pieces adds parts of a log, with a flush after each, and returns the pieces.
func pieces(t *testing.T, parts ...string) (all []string) {
	t.Helper()
	var p podlog.Pieces
	emit := func(piece []byte) error {
		all = append(all, string(piece))
		return nil
	}
	for _, part := range parts {
		if err := errors.Join(p.Add([]byte(part), emit), p.Flush(emit)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.FlushAll(emit); err != nil || !p.IsEmpty() {
		t.Fatalf("at the end: %v, empty %t", err, p.IsEmpty())
	}
	return all
}

func TestPieces(t *testing.T) {
	limit := podlog.MaxPiece
	full := strings.Repeat("x", limit)
	for name, tt := range map[string]struct {
		parts, want []string
	}{
		"nothing":                            {nil, nil},
		"lines":                              {[]string{"a\nb\n", "c\n"}, []string{"a\nb\n", "c\n"}},
		"a line that arrives in parts":       {[]string{"a", "b", "c\nd"}, []string{"abc\n", "d"}},
		"a line as long as a piece":          {[]string{full[1:] + "\n"}, []string{full[1:] + "\n"}},
		"a line that is longer":              {[]string{full + "yz\n"}, []string{full, "yz\n"}},
		"lines that are longer than a piece": {[]string{"a\n" + full + "\n"}, []string{"a\n", full, "\n"}},
		"a character at the limit":           {[]string{full[1:] + "ö\n"}, []string{full[1:], "ö\n"}},
		"a long character at the limit":      {[]string{full[3:] + "😀\n"}, []string{full[3:], "😀\n"}},
		"no character at the limit": {
			[]string{full[1:] + "\xff\xff\n"}, []string{full[1:] + "\xff", "\xff\n"},
		},
		"half a character of the log at its end": {[]string{"a\xc3"}, []string{"a\xc3"}},
	} {
		if diff := cmp.Diff(tt.want, pieces(t, tt.parts...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// FuzzPieces checks that the pieces are the log, that none is too long, and that none ends within a character.
func FuzzPieces(f *testing.F) {
	f.Add("a\nb", "ö\r\n", 3)
	f.Add("😀", "\xf0\x9f", 70_000)
	f.Fuzz(func(t *testing.T, one, other string, repeat int) {
		if repeat < 0 || repeat > 1<<17 || repeat*len(one) > 1<<20 {
			t.Skip()
		}
		log := strings.Repeat(one, repeat)
		all := pieces(t, log, other)
		if strings.Join(all, "") != log+other {
			t.Fatal("the pieces are not the log")
		}
		replaced := 0
		for _, piece := range all {
			if len(piece) > podlog.MaxPiece {
				t.Fatalf("a piece of %d bytes", len(piece))
			}
			replaced += strings.Count(strings.ToValidUTF8(piece, "\uFFFD"), "\uFFFD")
		}
		if utf8.ValidString(log+other) && replaced != strings.Count(log+other, "\uFFFD") {
			t.Errorf("%d characters were cut", replaced)
		}
	})
}

func TestLimit(t *testing.T) {
	var l podlog.Limit
	var givers []func()
	for range podlog.MaxStreams {
		giveBack, err := l.Take(1)
		if err != nil {
			t.Fatal(err)
		}
		givers = append(givers, giveBack)
	}
	if _, err := l.Take(1); !errors.Is(err, podlog.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
	if _, err := l.Take(2); err != nil {
		t.Errorf("another user: %v", err)
	}
	givers[3]()
	if _, err := l.Take(1); err != nil {
		t.Errorf("after one was given back: %v", err)
	}
}
