package cluster

import (
	"context"
	"errors"
	"reflect"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// answerTimeout bounds a list, and the time until a watch is established. The API server has the same timeout for
// lists, but none for establishing a watch.
const answerTimeout = time.Minute

var (
	errNoAnswer = errors.New("no answer within " + answerTimeout.String())
	errBroken   = errors.New("the connection broke")
)

// begin establishes a watch. The error is errNoAnswer after answerTimeout.
func begin[L runtime.Object](
	ctx context.Context, from client[L], options metav1.ListOptions,
) (watch.Interface, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timeout := time.AfterFunc(answerTimeout, func() { cancel(errNoAnswer) })
	defer timeout.Stop()
	changes, err := from.Watch(ctx, options)
	switch {
	case err != nil && context.Cause(ctx) == errNoAnswer:
		err = errNoAnswer
	case err == nil && reflect.TypeOf(changes) == reflect.TypeOf(watch.NewEmptyWatch()):
		err = errBroken // client-go returns this watch if it could not connect
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	return changesUntil{changes, cancel}, nil
}

// changesUntil is a watch whose Stop also cancels its context.
type changesUntil struct {
	watch.Interface
	cancel context.CancelCauseFunc
}

func (c changesUntil) Stop() {
	defer c.cancel(nil)
	c.Interface.Stop()
}
