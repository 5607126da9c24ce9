package httpapi

import (
	"net/http"
	"time"

	"kontroler/httpapi/stream"
)

// writeTimeout is how long one write to a stream may take.
const writeTimeout = 10 * time.Second

// beginStream begins to answer with a stream of events, as newStream.
func beginStream(w http.ResponseWriter, c *call, timeout time.Duration) *stream.Stream {
	s := newStream(w, c, timeout)
	stream.Describe(w.Header())
	w.WriteHeader(http.StatusOK)
	return s
}

// newStream makes the answer to a request a stream, which has neither header nor status yet. From now on the request
// has no time limit and no turn, and the context of c ends when the client has gone. The caller must end the stream.
func newStream(w http.ResponseWriter, c *call, timeout time.Duration) *stream.Stream {
	c.Request, c.isStream = c.arrived, true
	c.release()
	return stream.New(w, timeout)
}
