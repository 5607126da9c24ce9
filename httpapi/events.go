package httpapi

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"kontroler/httpapi/auth"
	"kontroler/httpapi/events"
	"kontroler/httpapi/stream"
	"kontroler/store/accounts"
	"kontroler/store/view"
)

// eventHandlers stream changes to clients.
type eventHandlers struct {
	*base
	feed *events.Feed
	pace pace
}

// pace has the intervals and the timeout of a stream.
type pace struct {
	// heartbeat is how often a heartbeat is sent, recheck how often the credential is checked again.
	heartbeat, recheck time.Duration
	// write is how long one write may take.
	write time.Duration
}

var defaultPace = pace{heartbeat: 15 * time.Second, recheck: 3 * time.Second, write: writeTimeout}

// resetRights is the reason of a reset after which the caller sees other namespaces.
const resetRights events.Reset = "rights"

// errStreamEnds ends a stream after the client has received the reason.
var errStreamEnds = errors.New("the stream ends")

// maxWrite is about how many bytes of events are sent at once.
const maxWrite = 32 << 10

// follower is the stream of a caller.
type follower struct {
	*eventHandlers
	subscription *events.Subscription
	stream       *stream.Stream
	credential   string
	namespace    string // empty means all of the caller's
	access       accounts.Access
	scope        view.Scope
	// isVerified is false while the credential cannot be checked. No changes are sent then.
	isVerified bool
	// lastID is the ID of the last batch that was sent.
	lastID string
}

func (h *eventHandlers) follow(w http.ResponseWriter, c *call) error {
	values, err := query(c, "namespace")
	if err != nil {
		return err
	}
	f := &follower{eventHandlers: h, credential: c.credential, isVerified: true}
	if f.namespace, err = textOf(values, "namespace"); err != nil {
		return err
	}
	f.setAccess(c.principal.Access)
	if c.Method == http.MethodHead {
		stream.Describe(w.Header())
		return reply(w, http.StatusOK, nil)
	}
	f.subscription, err = h.feed.Subscribe(c.Context(), c.principal.UserID, c.Header.Get("Last-Event-ID"))
	if err != nil {
		return err
	}
	defer f.subscription.Close()
	f.stream = beginStream(w, c, h.pace.write)
	defer f.stream.End()
	h.metrics.Streams.Inc()
	defer h.metrics.Streams.Dec()
	f.run(c.Context())
	return nil
}

// setAccess narrows or widens the stream to the namespaces that the caller may read.
func (f *follower) setAccess(access accounts.Access) {
	f.access, f.scope = access, scopeOf(access)
	if f.namespace != "" {
		f.scope = f.scope.Only(f.namespace)
	}
}

// run sends events until the client has gone, the server stops or the credential ends.
func (f *follower) run(ctx context.Context) {
	heartbeat, recheck := time.NewTicker(f.pace.heartbeat), time.NewTicker(f.pace.recheck)
	defer heartbeat.Stop()
	defer recheck.Stop()
	// The random delay spreads the reconnects of clients after a restart.
	err := f.stream.Send(fmt.Appendf(nil, "retry: %d\n\n", 1000+rand.IntN(2000)))
	for err == nil {
		pending := f.subscription.HasPending()
		if !f.isVerified {
			pending = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-f.subscription.Ended():
			return
		case <-pending:
			err = f.pass(f.subscription.Take())
		case <-heartbeat.C:
			err = f.stream.Send(f.appendID([]byte("event: heartbeat\ndata: {}\n")))
		case <-recheck.C:
			err = f.recheck(ctx)
		}
	}
	if !errors.Is(err, errStreamEnds) {
		f.log.Debug("writing to a stream of events failed", "error", err)
	}
}

// recheck checks the credential again. It ends the stream, or adapts it to what the caller may read now.
func (f *follower) recheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, f.pace.recheck)
	defer cancel()
	principal, err := f.authenticator.Recheck(ctx, f.credential)
	if errors.Is(err, auth.ErrUnauthenticated) {
		text, err := stream.AppendEvent(nil, "end", "", map[string]string{"detail": problemOf(err).detail})
		return errors.Join(errStreamEnds, err, f.stream.Send(text))
	}
	if f.isVerified = err == nil; !f.isVerified {
		return nil // the database does not answer
	}
	access := principal.Access
	if access.Admin == f.access.Admin && slices.Equal(access.Grants, f.access.Grants) {
		return nil
	}
	f.setAccess(access)
	text, err := f.appendReset(nil, resetRights, f.lastID)
	if err != nil {
		return err
	}
	return f.stream.Send(text)
}

// pass sends batches, without the events that the caller may not see.
func (f *follower) pass(batches []events.Batch) (err error) {
	var text []byte
	for _, batch := range batches {
		isFirst := f.lastID == ""
		f.lastID = batch.ID
		if batch.Reset != "" {
			if text, err = f.appendReset(text, batch.Reset, batch.ID); err != nil {
				return err
			}
			continue
		}
		visible := slices.DeleteFunc(slices.Clone(batch.Events), func(e events.Event) bool {
			return !f.scope.Has(e.Namespace)
		})
		f.metrics.Events.Add(float64(len(visible)))
		if isFirst && len(visible) == 0 {
			text = f.appendID(text)
		}
		for i, e := range visible {
			id := ""
			if i == len(visible)-1 {
				id = batch.ID // a client that loses the connection earlier gets the whole batch again
			}
			if text, err = stream.AppendEvent(text, "change", id, e); err != nil {
				return err
			}
			if len(text) > maxWrite {
				if err := f.stream.Send(text); err != nil {
					return err
				}
				text = text[:0]
			}
		}
	}
	if len(text) == 0 {
		return nil
	}
	return f.stream.Send(text)
}

func (f *follower) appendReset(text []byte, reason events.Reset, id string) ([]byte, error) {
	f.metrics.Resets.WithLabelValues(string(reason)).Inc()
	return stream.AppendEvent(text, "reset", id, map[string]events.Reset{"reason": reason})
}

// appendID appends the last ID without an event.
func (f *follower) appendID(text []byte) []byte {
	if f.lastID != "" {
		text = fmt.Appendf(text, "id: %s\n", f.lastID)
	}
	return append(text, '\n')
}
