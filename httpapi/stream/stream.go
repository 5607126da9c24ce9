// Package stream writes answers that go on until their client or the server ends them, such as events sent by the
// server.
package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Stream is an answer that goes on. Each write is bounded in time, so a client that takes nothing ends it.
type Stream struct {
	// Answer has the header, and takes the status.
	Answer     http.ResponseWriter
	controller *http.ResponseController
	timeout    time.Duration
}

// New makes an answer a stream, whose writes may take as long as timeout. The caller must end it.
func New(w http.ResponseWriter, timeout time.Duration) *Stream {
	return &Stream{w, http.NewResponseController(w), timeout}
}

// Describe sets the header of a stream of events.
func Describe(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // for nginx, which would hold back what is not full
}

// Send sends text to the client. An error means that the client has gone, or takes nothing.
func (s *Stream) Send(text []byte) error {
	if err := s.controller.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.Answer.Write(text)
	if err == nil {
		err = s.controller.Flush()
	}
	// A deadline that passes between two writes would end a stream of HTTP/2.
	return errors.Join(err, s.controller.SetWriteDeadline(time.Time{}))
}

// Write is Send for io.Writer.
func (s *Stream) Write(text []byte) (int, error) {
	if err := s.Send(text); err != nil {
		return 0, err
	}
	return len(text), nil
}

// End bounds what the server writes after the handler.
func (s *Stream) End() {
	_ = s.controller.SetWriteDeadline(time.Now().Add(s.timeout)) // An error means that the client has gone.
}

// AppendEvent appends an event with data as JSON, which has no line breaks. Without an id the client keeps its last
// one.
func AppendEvent(text []byte, event, id string, data any) ([]byte, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encoding an event: %w", err)
	}
	text = fmt.Appendf(text, "event: %s\n", event)
	if id != "" {
		text = fmt.Appendf(text, "id: %s\n", id)
	}
	return fmt.Appendf(text, "data: %s\n\n", body), nil
}
