package httpapi

import (
	"net/http"
	"time"

	"kontroler/httpapi/stream"
)

// writeTimeout is how long one write to a stream may take.
const writeTimeout = 10 * time.Second

// beginStream is newStream for a stream of events. It also sends the header and the status.
func beginStream(w http.ResponseWriter, c *call, timeout time.Duration) *stream.Stream {
	s := newStream(w, c, timeout)
	stream.Describe(w.Header())
	w.WriteHeader(http.StatusOK)
	return s
}

// newStream turns the response of a request into a stream, which has neither header nor status yet. From now on, the
// request has no time limit and no turn, and the context of c ends only when the client has gone. The caller must end
// the stream.
func newStream(w http.ResponseWriter, c *call, timeout time.Duration) *stream.Stream {
	c.Request, c.isStream = c.arrived, true
	c.release()
	return stream.New(w, timeout)
}
