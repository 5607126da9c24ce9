package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"kontroler/httpapi/answer"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/events"
	"kontroler/httpapi/manifest"
	"kontroler/httpapi/objects"
	"kontroler/httpapi/podlog"
	"kontroler/httpapi/quarters"
	"kontroler/httpapi/turns"
	"kontroler/store"
	"kontroler/store/accounts"
	"kontroler/store/view"
)

// kind is a type of problem. Its slug is stable, because clients match it.
type kind struct {
	slug   string
	status int
	title  string
}

// The types of problems. openapi.yaml documents them.
var (
	badRequest       = kind{"bad-request", http.StatusBadRequest, "The request is malformed."}
	notAuthenticated = kind{"unauthenticated", http.StatusUnauthorized, "Log in, or send a valid token."}
	forbidden        = kind{"forbidden", http.StatusForbidden, "You may not do this."}
	crossOrigin      = kind{"cross-origin", http.StatusForbidden, "The request comes from another web site."}
	notFound         = kind{"not-found", http.StatusNotFound, "There is no such object."}
	methodNotAllowed = kind{
		"method-not-allowed", http.StatusMethodNotAllowed, "The resource does not have this method.",
	}
	conflict             = kind{"conflict", http.StatusConflict, "The change conflicts with the present state."}
	preconditionFailed   = kind{"precondition-failed", http.StatusPreconditionFailed, "The object has changed."}
	tooLarge             = kind{"too-large", http.StatusRequestEntityTooLarge, "The body is too large."}
	unsupportedMediaType = kind{
		"unsupported-media-type", http.StatusUnsupportedMediaType, "The body has the wrong type.",
	}
	invalid              = kind{"invalid", http.StatusUnprocessableEntity, "Values are not valid."}
	preconditionRequired = kind{
		"precondition-required", http.StatusPreconditionRequired, "The header If-Match is missing.",
	}
	tooManyRequests     = kind{"too-many-requests", http.StatusTooManyRequests, "Try again later."}
	gone                = kind{"gone", http.StatusGone, "There is no such thing any more."}
	rangeNotSatisfiable = kind{
		"range-not-satisfiable", http.StatusRequestedRangeNotSatisfiable, "The range is outside of what there is.",
	}
	clientGone  = kind{"client-gone", 499, "The client has closed the connection."} // nobody reads it
	internal    = kind{"internal", http.StatusInternalServerError, "The server has failed."}
	unavailable = kind{"unavailable", http.StatusServiceUnavailable, "The server cannot do this now."}
)

// problemPrefix begins the type of each problem.
const problemPrefix = "urn:kontroler:problem:"

// retryAfter is how long a client should wait if the problem does not say.
const retryAfter = 2 * time.Second

// fieldError is a fault of a value in the body.
type fieldError struct {
	// Pointer is a JSON pointer (RFC 6901). Empty means the whole body.
	Pointer string `json:"pointer"`
	// Line of a manifest in YAML, from 1.
	Line   int    `json:"line,omitempty"`
	Detail string `json:"detail"`
}

// problem is an error of a handler that is sent to the client.
type problem struct {
	kind
	detail     string
	errors     []fieldError
	retryAfter time.Duration
	cause      error // for the log
}

func (p *problem) Error() string {
	if p.cause != nil {
		return p.slug + ": " + p.cause.Error()
	}
	return p.slug + ": " + p.detail
}

func (p *problem) Unwrap() error { return p.cause }

func fault(k kind, detail string, errors ...fieldError) *problem {
	return &problem{kind: k, detail: detail, errors: errors}
}

// sentinels are the errors of other packages that handlers return, with their problems. The first match counts.
var sentinels = []struct {
	is     error
	kind   kind
	detail string
}{
	{accounts.ErrNotFound, notFound, "There is no such object, or you may not see it."},
	{accounts.ErrExists, conflict, "The name is taken."},
	{accounts.ErrStale, preconditionFailed, "The user has another generation. Read the user again."},
	{accounts.ErrLastAdmin, conflict, "No enabled administrator would be left."},
	{accounts.ErrTooMany, conflict, "You have " + strconv.Itoa(accounts.MaxTokens) + " API tokens. Delete one first."},
	{events.ErrTooMany, tooManyRequests, "You have " + strconv.Itoa(events.MaxStreams) +
		" open streams of events. Close one first."},
	{events.ErrStopped, unavailable, "The server is starting or stopping."},
	{turns.ErrTooMany, tooManyRequests, "You have " + strconv.Itoa(turns.MaxRequests) +
		" requests under way. Wait for their answers."},
	{podlog.ErrTooMany, tooManyRequests, "You read " + strconv.Itoa(podlog.MaxStreams) + " logs. Close one first."},
	{view.ErrLogRemoved, gone, "The log was removed after its retention."},
	{auth.ErrBusy, unavailable, "Too many passwords are being checked."},
	{quarters.ErrCounting, unavailable,
		"The server has just started and counts the runs, which takes about a second for a million of them."},
	{view.ErrCursor, badRequest, errCursor.detail},
	{store.ErrRejected, invalid, "The database refuses a value."},
	{store.ErrUnknownCommit, unavailable,
		"The database did not confirm the change. It may have been made: look before you repeat it."},
	{store.ErrUnavailable, unavailable, "The database does not answer."},
	{store.ErrConflict, unavailable, "Another change is under way."},
	{context.DeadlineExceeded, unavailable, "The database took too long to answer."},
	{context.Canceled, clientGone, ""},
}

// problemOf returns the problem of an error.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if delayed, ok := errors.AsType[*auth.DelayedError](err); ok {
		return &problem{
			kind: tooManyRequests, detail: "Logins of this user from your network, or through your proxy, have failed.",
			retryAfter: delayed.After,
		}
	}
	if errors.Is(err, auth.ErrUnauthenticated) {
		return fault(notAuthenticated, sentence(strings.TrimPrefix(err.Error(), auth.ErrUnauthenticated.Error()+": ")))
	}
	if contract, ok := errors.AsType[*view.ContractError](err); ok {
		return &problem{kind: unavailable, detail: "The server cannot read the history of runs.", cause: contract}
	}
	if lost, ok := errors.AsType[*podlog.GoneError](err); ok {
		return fault(gone, lost.Message)
	}
	if node, ok := errors.AsType[*podlog.NodeError](err); ok {
		detail := "The node of the Pod does not serve the log now."
		if node.IsForbidden {
			detail = "The server may not read the log. Its role in the cluster needs get of pods and pods/log."
		}
		return &problem{kind: unavailable, detail: detail, cause: node}
	}
	if wrong, ok := errors.AsType[*manifest.Error](err); ok {
		return problemOfManifest(wrong)
	}
	if refusal, ok := errors.AsType[*objects.Refusal](err); ok {
		return problemOfRefusal(refusal)
	}
	if away, ok := errors.AsType[*cluster.Error](err); ok {
		return &problem{kind: unavailable, detail: away.Detail, cause: away}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.is) {
			return &problem{kind: s.kind, detail: s.detail, cause: err}
		}
	}
	const detail = "The log of the server has the cause, under the id of this request."
	return &problem{kind: internal, detail: detail, cause: err}
}

// problemOfManifest returns the problem of a manifest that cannot be used.
func problemOfManifest(e *manifest.Error) *problem {
	kind := invalid
	if e.IsMalformed {
		kind = badRequest
	}
	return fault(kind, e.Detail, answer.All(e.Faults, func(f manifest.Fault) fieldError { return fieldError(f) })...)
}

// refusals maps the reasons of a Refusal to types of problems.
var refusals = map[objects.Reason]kind{
	objects.Absent: notFound, objects.Exists: conflict, objects.Changed: conflict, objects.Denied: conflict,
	objects.Invalid: invalid, objects.TooLarge: tooLarge, objects.Away: unavailable, objects.Forbidden: unavailable,
	objects.NotAllowed: forbidden,
}

// problemOfRefusal returns the problem of a request that Kubernetes refused or could not carry out.
func problemOfRefusal(r *objects.Refusal) *problem {
	return &problem{kind: refusals[r.Reason], detail: r.Detail, errors: answer.All(r.Faults, viewFault), cause: r}
}

func viewFault(f objects.Fault) fieldError {
	return fieldError{Pointer: manifest.Pointer(f.Field), Detail: f.Detail}
}

// sentence returns the text of an error as a sentence.
func sentence(text string) string { return strings.ToUpper(text[:1]) + text[1:] + "." }

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter, requestID string, log *slog.Logger) {
	body, err := json.Marshal(struct {
		Type      string       `json:"type"`
		Title     string       `json:"title"`
		Status    int          `json:"status"`
		Detail    string       `json:"detail,omitempty"`
		RequestID string       `json:"requestId"`
		Errors    []fieldError `json:"errors,omitempty"`
	}{problemPrefix + p.slug, p.title, p.status, p.detail, requestID, p.errors})
	if err != nil {
		log.Error("encoding a problem", "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/problem+json")
	switch p.status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Bearer realm="kontroler"`)
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		wait := p.retryAfter
		if wait <= 0 {
			wait = retryAfter
		}
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	w.WriteHeader(p.status)
	_, _ = w.Write(body) // an error means that the client has gone
}
