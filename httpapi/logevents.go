package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"kontroler/httpapi/podlog"
	"kontroler/httpapi/stream"
)

// guard returns a context that ends when the client has gone, when the server stops, or when the caller may no longer
// read the log. Unless beat is nil, it is called at every heartbeat.
func (a *logAnswer) guard(beat func()) (ctx context.Context, stop func()) {
	ctx, end := context.WithCancelCause(a.call.Context())
	var guarding sync.WaitGroup
	guarding.Go(func() {
		heartbeat, recheck := time.NewTicker(a.pace.heartbeat), time.NewTicker(a.pace.recheck)
		defer heartbeat.Stop()
		defer recheck.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-a.stopping:
				end(errors.New("the server stops"))
			case <-heartbeat.C:
				if beat != nil {
					beat()
				}
			case <-recheck.C:
				if err := a.recheck(ctx); err != nil {
					end(err)
				}
			}
		}
	})
	return ctx, func() {
		end(nil)
		guarding.Wait()
	}
}

// recheckTimeout is how long checking the credential again may take. If it takes longer, the response ends.
const recheckTimeout = 5 * time.Second

// recheck returns an error if the caller may no longer read the log, or if that cannot be checked.
func (a *logAnswer) recheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, recheckTimeout)
	defer cancel()
	principal, err := a.authenticator.Recheck(ctx, a.call.credential)
	if err != nil {
		return err
	}
	if !scopeOf(principal.Access).Has(a.run.Namespace) {
		return errUnknown()
	}
	return nil
}

// logState is the data of an event that says where the log is read from.
type logState struct {
	State podlog.Source `json:"state"`
	// The other fields are set only for a stored log.
	Bytes      *int64 `json:"bytes,omitempty"`
	Omitted    int64  `json:"omitted,omitempty"`
	OmittedAt  int64  `json:"omittedAt,omitempty"`
	Rotated    bool   `json:"rotated,omitempty"`
	Incomplete bool   `json:"incomplete,omitempty"`
	Message    string `json:"message,omitempty"`
}

// logEnd is the data of the last event. Reason says whether the log is complete, or that the credential has ended.
type logEnd struct {
	Reason string `json:"reason"`
	// Rotated means that lines may be missing or repeated.
	Rotated bool   `json:"rotated,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// events answers with the log as events.
func (a *logAnswer) events(w http.ResponseWriter) error {
	isKnown := true
	if a.from != "" {
		a.request.From, isKnown = podlog.ParsePosition(a.from)
	}
	// A browser does not reconnect after a response that is not an event stream. A log that is gone is therefore
	// reported by an event.
	_, err := a.logs.Find(a.call.Context(), a.request)
	if _, isGone := errors.AsType[*podlog.GoneError](err); err != nil && !isGone {
		return err
	}
	w.Header().Set("Vary", "Accept")
	if a.call.Method == http.MethodHead {
		stream.Describe(w.Header())
		return reply(w, http.StatusOK, nil)
	}
	s := beginStream(w, a.call, a.pace.write)
	defer s.End()
	sink := &eventSink{stream: s}
	ctx, stop := a.guard(sink.beat)
	defer stop()
	if !isKnown {
		err = sink.Reset(podlog.Unknown)
	}
	var end podlog.End
	if err == nil {
		end, err = a.logs.Copy(ctx, a.request, sink)
	}
	if err := sink.finish(end, err); err != nil {
		a.log.Debug("streaming a log failed", "requestId", a.call.id, "error", err)
	}
	return nil
}

// eventSink writes a log as events.
type eventSink struct {
	mu     sync.Mutex
	stream *stream.Stream
	pieces podlog.Pieces
	// at is where the next piece is.
	at   podlog.Position
	text []byte // events that are not sent yet
}

// beat sends a heartbeat, which shows proxies and clients that the stream is alive.
func (s *eventSink) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	// An error means that the client has gone. The next write finds that too.
	_ = s.stream.Send([]byte("event: heartbeat\ndata: {}\n\n"))
}

// Begin sends where the log is read from.
func (s *eventSink) Begin(place podlog.Place) error {
	state := logState{State: place.Source}
	if place.Source == podlog.Stored {
		log := place.Log
		state.Bytes, state.Omitted, state.OmittedAt = &log.Bytes, log.Omitted, log.OmittedAt
		state.Rotated, state.Incomplete, state.Message = log.IsRotated, log.IsIncomplete, log.Message
	}
	return s.send("state", "", state)
}

// Reset tells the client to drop what it has received.
func (s *eventSink) Reset(why podlog.Reset) error {
	s.pieces.Drop()
	return s.send("reset", "", map[string]podlog.Reset{"reason": why})
}

// Omitted sends how many bytes are missing.
func (s *eventSink) Omitted(at podlog.Position, bytes int64) error {
	if err := s.pieces.FlushAll(s.emit); err != nil {
		return err
	}
	at.Offset += bytes
	return s.send("omitted", at.String(), map[string]int64{"bytes": bytes})
}

// Write adds a part of the log, and emits each full piece.
func (s *eventSink) Write(at podlog.Position, part []byte) error {
	if s.pieces.IsEmpty() {
		s.at = at
	}
	return s.pieces.Add(part, s.emit)
}

// Flush sends the lines that have arrived.
func (s *eventSink) Flush() error {
	if err := s.pieces.Flush(s.emit); err != nil {
		return err
	}
	return s.sendText()
}

// finish sends the last event, which says why the stream ends. After an error that may pass, it sends none, so that the
// client reconnects.
func (s *eventSink) finish(end podlog.End, err error) error {
	if lost, isGone := errors.AsType[*podlog.GoneError](err); isGone {
		return s.send("gone", "", map[string]string{"reason": lost.Reason, "message": lost.Message})
	}
	if err != nil {
		refusal := problemOf(err)
		if refusal.kind == notAuthenticated || refusal.kind == notFound {
			err = errors.Join(err, s.send("end", "", logEnd{Reason: "credential", Detail: refusal.detail}))
		}
		return err
	}
	if err := s.pieces.FlushAll(s.emit); err != nil {
		return err
	}
	return s.send("end", "", logEnd{Reason: "complete", Rotated: end.IsRotated})
}

// emit appends an event with a piece.
func (s *eventSink) emit(piece []byte) (err error) {
	s.at.Offset += int64(len(piece))
	if s.text, err = stream.AppendEvent(s.text, "log", s.at.String(), string(piece)); err != nil {
		return err
	}
	if len(s.text) < maxWrite {
		return nil
	}
	return s.sendText()
}

// send appends an event, and sends all that was appended.
func (s *eventSink) send(event, id string, data any) (err error) {
	if s.text, err = stream.AppendEvent(s.text, event, id, data); err != nil {
		return err
	}
	return s.sendText()
}

func (s *eventSink) sendText() error {
	if len(s.text) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.stream.Send(s.text)
	s.text = s.text[:0]
	return err
}
