// Package recorder has response writers that record the status of a response.
package recorder

import "net/http"

// Recorder passes a response on, and records its status. Status is 0 before the header is written.
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

// Refusal records the status and the header of a response, and drops the body.
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
