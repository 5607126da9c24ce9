package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// writeTimeout is how long one write to a stream may take.
const writeTimeout = 10 * time.Second

// stream is an answer that goes on until its client or the server ends it.
type stream struct {
	w          http.ResponseWriter
	controller *http.ResponseController
	timeout    time.Duration
}

// describeStream sets the header of a stream of events.
func describeStream(header http.Header) {
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // for nginx, which would hold back what is not full
}

// beginStream begins to answer with a stream of events, as newStream.
func beginStream(w http.ResponseWriter, c *call, timeout time.Duration) *stream {
	s := newStream(w, c, timeout)
	describeStream(w.Header())
	w.WriteHeader(http.StatusOK)
	return s
}

// newStream makes the answer to a request a stream, which has neither header nor status yet. From now on the request
// has no time limit, and the context of c ends when the client has gone. The caller must end the stream.
func newStream(w http.ResponseWriter, c *call, timeout time.Duration) *stream {
	c.Request, c.isStream = c.arrived, true
	return &stream{w, http.NewResponseController(w), timeout}
}

// write sends text to the client. An error means that the client has gone, or takes nothing.
func (s *stream) write(text []byte) error {
	if err := s.controller.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	_, err := s.w.Write(text)
	if err == nil {
		err = s.controller.Flush()
	}
	// A deadline that passes between two writes would end a stream of HTTP/2.
	return errors.Join(err, s.controller.SetWriteDeadline(time.Time{}))
}

// end bounds what the server writes after the handler.
func (s *stream) end() {
	_ = s.controller.SetWriteDeadline(time.Now().Add(s.timeout)) // An error means that the client has gone.
}

// appendEvent appends an event with data as JSON, which has no line breaks. Without an id the client keeps its last
// one.
func appendEvent(text []byte, event, id string, data any) ([]byte, error) {
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
