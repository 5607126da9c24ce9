// Package recorder has response writers that remember the status of an answer.
package recorder

import "net/http"

// Recorder passes an answer on, and remembers its status. Status is 0 before it is sent.
type Recorder struct {
	http.ResponseWriter
	Status int
}

// WriteHeader records the status.
func (r *Recorder) WriteHeader(status int) {
	if r.Status == 0 {
		r.Status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write records that the status is 200 if none was set.
func (r *Recorder) Write(b []byte) (int, error) {
	if r.Status == 0 {
		r.Status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *Recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Refusal keeps the status and the header of an answer, and drops its body.
type Refusal struct {
	Status int
	header http.Header
}

// NewRefusal makes a Refusal without a status.
func NewRefusal() *Refusal { return &Refusal{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (r *Refusal) Header() http.Header { return r.header }

// WriteHeader records the status.
func (r *Refusal) WriteHeader(status int) { r.Status = status }

// Write drops the body.
func (r *Refusal) Write(b []byte) (int, error) { return len(b), nil }
