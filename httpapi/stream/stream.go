// Package stream writes streaming responses, such as server-sent events.
package stream

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Stream is a streaming response. Each write has a timeout, so a client that reads nothing ends the stream.
type Stream struct {
	// Answer is for the header and the status.
	Answer     http.ResponseWriter
	controller *http.ResponseController
	timeout    time.Duration
}

// New makes a response a stream. timeout bounds each write. The caller must call End.
func New(w http.ResponseWriter, timeout time.Duration) *Stream {
	return &Stream{w, http.NewResponseController(w), timeout}
}

// Describe sets the header of a stream of events.
func Describe(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would buffer the stream otherwise
}

// Send sends text to the client. An error means that the client has gone, or has read nothing for the timeout.
func (s *Stream) Send(text []byte) error {
	if err := s.controller.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.Answer.Write(text)
	if err == nil {
		err = s.controller.Flush()
	}
	// A deadline that expires between two writes would end an HTTP/2 stream.
	return errors.Join(err, s.controller.SetWriteDeadline(time.Time{}))
}

// Write is Send for io.Writer.
func (s *Stream) Write(text []byte) (int, error) {
	if err := s.Send(text); err != nil {
		return 0, err
	}
	return len(text), nil
}

// End sets the timeout for what net/http writes after the handler.
func (s *Stream) End() {
	_ = s.controller.SetWriteDeadline(time.Now().Add(s.timeout)) // an error means that the client has gone
}

// AppendEvent appends a server-sent event to text. data is encoded as JSON, which has no line breaks. If id is empty,
// the client keeps its last event id.
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
