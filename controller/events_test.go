package controller

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// An Event that is not accepted in time pauses the Events of its namespace, and of no other one.
func TestEventsWhileANamespaceHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, sent := &eventSink{paused: pauses{}}, map[string]int{}
		send := func(namespace string, hangs bool) error {
			_, err := sink.send(namespace, func(ctx context.Context) (*corev1.Event, error) {
				sent[namespace]++
				if hangs {
					<-ctx.Done()
				}
				return nil, ctx.Err()
			})
			return err
		}
		for range 3 {
			if err := send("hangs", true); !apierrors.IsTimeout(err) {
				t.Errorf("the error of an Event that hangs, which must have a status: %v", err)
			}
			if err := send("quiet", false); err != nil {
				t.Error(err)
			}
		}
		if sent["hangs"] != 1 || sent["quiet"] != 3 {
			t.Errorf("Events that were sent: %v, want 1 and 3", sent)
		}
		time.Sleep(pauseAfterFailure) // of the bubble's clock
		if err := send("hangs", false); err != nil {
			t.Errorf("after the pause: %v", err)
		}
		refused := errors.New("no")
		_, err := sink.send("quiet", func(context.Context) (*corev1.Event, error) { return nil, refused })
		if again := send("quiet", false); err != refused || again != nil {
			t.Errorf("after an Event that was refused with %v: %v", err, again)
		}
	})
}
