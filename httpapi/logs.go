package httpapi

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"kontroler/httpapi/podlog"
	"kontroler/httpapi/stream"
	"kontroler/store/view"
)

// maxTail is how many lines the parameter tail may ask for.
const maxTail = 10_000

// logHandlers show the logs of attempts.
type logHandlers struct {
	*base
	logs podlog.Logs
	// limit counts the logs that each user reads from this replica.
	limit podlog.Limit
	pace  pace
	// stopping is closed when streams must end.
	stopping chan struct{}
}

// logAnswer is a response with a log.
type logAnswer struct {
	*logHandlers
	call    *call
	run     view.Run
	request podlog.Request
	// fileName is the name under which a browser saves the log. It is empty unless the log is downloaded.
	fileName string
	// from is the id of the event after which a stream goes on. Empty means the beginning.
	from string
}

func (h *logHandlers) read(w http.ResponseWriter, c *call) error {
	values, err := query(c, "follow", "tail", "download", "from")
	if err != nil {
		return err
	}
	isStream := wantsEvents(c.Header)
	follow, err := oneOf(values, "follow", "true", "false")
	if err != nil {
		return err
	}
	download, err := oneOf(values, "download", "true", "false")
	if err != nil {
		return err
	}
	if isStream && download == "true" {
		return fault(badRequest, "A download is no stream of events. Send another Accept.")
	}
	if !isStream && values.Has("from") {
		return fault(badRequest, "from is the id of an event. Send Accept: text/event-stream.")
	}
	// A browser sends Last-Event-ID when it opens a lost stream again. That is newer than the address.
	a := &logAnswer{logHandlers: h, call: c, from: cmp.Or(c.Header.Get("Last-Event-ID"), values.Get("from"))}
	a.request.Follow = follow == "true" || isStream && follow == ""
	if tail := values.Get("tail"); tail != "" {
		if a.request.Tail, err = parseNumber(tail, maxTail); err != nil {
			return fault(badRequest, fmt.Sprintf("tail must be a number from 1 to %d.", maxTail))
		}
	}
	run, attempt, err := taskHandlers{h.base}.findAttempt(c)
	if err != nil {
		return err
	}
	a.run, a.request.Namespace, a.request.TaskID, a.request.Number = run, run.Namespace, attempt.TaskID, attempt.Number
	if download == "true" {
		a.fileName = fmt.Sprintf("%s-%s-%d.log", run.Name, c.PathValue("task"), attempt.Number)
	}
	giveBack, err := h.limit.Take(c.principal.UserID)
	if err != nil {
		return err
	}
	defer giveBack()
	if isStream {
		return a.events(w)
	}
	return a.text(w)
}

// wantsEvents reports whether a client asks for a stream of events.
func wantsEvents(header http.Header) bool {
	for _, accepted := range header.Values("Accept") {
		for one := range strings.SplitSeq(accepted, ",") {
			if media, _, err := mime.ParseMediaType(one); err == nil && media == "text/event-stream" {
				return true
			}
		}
	}
	return false
}

// text answers with the log as plain text.
func (a *logAnswer) text(w http.ResponseWriter) error {
	place, err := a.logs.Find(a.call.Context(), a.request)
	if err != nil {
		return err
	}
	isStored := place.Source == podlog.Stored && a.request.Tail == 0
	if a.call.Method == http.MethodHead && !isStored {
		a.describe(w.Header(), place)
		return reply(w, http.StatusOK, nil)
	}
	s := newStream(w, a.call, a.pace.write)
	defer s.End()
	ctx, stop := a.guard(nil)
	defer stop()
	if isStored {
		return a.serve(ctx, s, place)
	}
	sink := &textSink{answer: a, stream: s, buffered: bufio.NewWriterSize(s, podlog.MaxPiece)}
	_, err = a.logs.Copy(ctx, a.request, sink)
	if err == nil {
		err = sink.Flush()
	}
	lost, isGone := errors.AsType[*podlog.GoneError](err)
	hasEnded := isGone && lost.Reason == podlog.NeverStarted && sink.written == 0
	if err == nil || !sink.hasBegun {
		return err
	}
	if !hasEnded {
		a.abort(err)
	}
	return nil
}

// abort breaks off a response whose status was sent, so that the client sees that it is incomplete.
func (a *logAnswer) abort(err error) {
	a.log.Debug("sending a log failed", "requestId", a.call.id, "error", err)
	panic(http.ErrAbortHandler)
}

// describe sets the header of a log in plain text.
func (a *logAnswer) describe(header http.Header, place podlog.Place) {
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	header.Set("X-Accel-Buffering", "no")
	header.Set("Vary", "Accept")
	if a.fileName != "" {
		header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": a.fileName}))
	}
	header.Set("Kontroler-Log-State", string(place.Source))
	if place.Source != podlog.Stored {
		return
	}
	header.Set("Kontroler-Log-Bytes", strconv.FormatInt(place.Log.Bytes, 10))
	header.Set("Kontroler-Log-Omitted", strconv.FormatInt(place.Log.Omitted, 10))
	if place.Log.Omitted > 0 {
		header.Set("Kontroler-Log-Omitted-At", strconv.FormatInt(place.Log.OmittedAt, 10))
	}
	header.Set("Kontroler-Log-Rotated", strconv.FormatBool(place.Log.IsRotated))
	header.Set("Kontroler-Log-Incomplete", strconv.FormatBool(place.Log.IsIncomplete))
}

// maxRanges is how many ranges of a log a request may have. A request with more gets the whole log, because each range
// has to find and unpack its chunks.
const maxRanges = 16

// serve responds with a stored log, or with ranges of it.
func (a *logAnswer) serve(ctx context.Context, s *stream.Stream, place podlog.Place) error {
	log := place.Log
	archive, err := podlog.OpenArchive(ctx, a.views, log)
	if err != nil {
		return err
	}
	header := s.Answer.Header()
	before := header.Clone()
	a.describe(header, place)
	header.Set("ETag", fmt.Sprintf(`"%d-%d"`, log.AttemptID, log.CapturedAt.UnixMicro()))
	if strings.Count(a.call.Header.Get("Range"), ",") >= maxRanges {
		a.call.Header.Del("Range") // RFC 9110, section 14.2, allows this
	}
	content, answer := &failing{ReadSeeker: archive}, &rangeAnswer{ResponseWriter: s.Answer, stream: s}
	http.ServeContent(answer, a.call.Request, "", log.CapturedAt, content)
	if content.err != nil {
		a.abort(content.err)
	}
	if answer.refused == 0 {
		return nil
	}
	// A problem must not have the headers of the log. ServeContent may also have removed headers that every response
	// has.
	clear(header)
	maps.Copy(header, before)
	if answer.refused == http.StatusRequestedRangeNotSatisfiable {
		header.Set("Content-Range", fmt.Sprintf("bytes */%d", archive.Size()))
		return fault(rangeNotSatisfiable, fmt.Sprintf("There are %d bytes.", archive.Size()))
	}
	return fault(preconditionFailed, "The log is not the one of the precondition.")
}

// failing remembers the error of a read.
type failing struct {
	io.ReadSeeker
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.ReadSeeker.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// rangeAnswer drops an error response of ServeContent and remembers its status, so that a problem is sent instead.
type rangeAnswer struct {
	http.ResponseWriter
	stream  *stream.Stream
	refused int
}

func (r *rangeAnswer) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		r.refused = status
		return
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *rangeAnswer) Write(p []byte) (int, error) {
	if r.refused != 0 {
		return len(p), nil
	}
	return r.stream.Write(p)
}

// errRestarted ends a plain text response when the log starts over, because what was sent cannot be taken back.
var errRestarted = errors.New("the log starts over")

// textSink writes a log as plain text.
type textSink struct {
	answer   *logAnswer
	stream   *stream.Stream
	buffered *bufio.Writer
	hasBegun bool
	written  int64
}

// Begin sends the header.
func (s *textSink) Begin(place podlog.Place) error {
	if s.hasBegun {
		return nil
	}
	s.hasBegun = true
	s.answer.describe(s.stream.Answer.Header(), place)
	s.stream.Answer.WriteHeader(http.StatusOK)
	return s.stream.Send(nil)
}

// Reset fails if a part of the log was sent.
func (s *textSink) Reset(podlog.Reset) error {
	if s.written > 0 {
		return errRestarted
	}
	return nil
}

// Omitted does nothing, because a header has the number of omitted bytes.
func (s *textSink) Omitted(podlog.Position, int64) error { return nil }

func (s *textSink) Write(_ podlog.Position, part []byte) error {
	n, err := s.buffered.Write(part)
	s.written += int64(n)
	return err
}

// Flush sends what is buffered.
func (s *textSink) Flush() error { return s.buffered.Flush() }
