package podevents

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"kontroler/controller/wait"
)

const (
	// ofPods selects the Events of Pods.
	ofPods = "involvedObject.kind=Pod"
	// pageSize is how many Events a list returns at a time. A cluster may have more than fit in memory.
	pageSize = 500
	// readRetry is the first pause after a failed read, readRetryMax the longest.
	readRetry, readRetryMax = time.Second, time.Minute
)

// errBacklogFull ends a watch. The list that follows waits for room in the backlog.
var errBacklogFull = errors.New("the backlog of Events is full")

// read lists and watches the Events of a namespace's Pods until ctx ends. When the watch breaks, or the backlog is
// full, it starts again with a list. A missing permission is logged only once, because it may last.
func (k *Keeper) read(ctx context.Context, namespace string) {
	wasForbidden := false
	for retry := readRetry; ; retry = min(2*retry, readRetryMax) {
		began := time.Now()
		version, err := k.list(ctx, namespace)
		for err == nil {
			wasForbidden = false
			version, err = k.watch(ctx, namespace, version)
		}
		if time.Since(began) > readRetryMax {
			retry = readRetry
		}
		isExpected := apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || errors.Is(err, errBacklogFull) ||
			wasForbidden && apierrors.IsForbidden(err)
		wasForbidden = apierrors.IsForbidden(err)
		if ctx.Err() == nil && !isExpected {
			k.cfg.Log.Warn("reading Events of Pods failed; will be retried",
				"namespace", namespace, "error", err, "in", retry)
		}
		if !wait.For(ctx, retry) {
			return
		}
	}
}

// list takes the Events of a namespace's Pods page by page. It returns the resourceVersion to watch from. While the
// backlog is full, it waits.
func (k *Keeper) list(ctx context.Context, namespace string) (resourceVersion string, err error) {
	options := metav1.ListOptions{FieldSelector: ofPods, Limit: pageSize}
	for {
		page, err := k.cfg.Events.Events(namespace).List(ctx, options)
		if err != nil {
			return "", fmt.Errorf("listing Events: %w", err)
		}
		for i := range page.Items {
			for !k.take(&page.Items[i]) {
				if !wait.For(ctx, writeInterval) {
					return "", ctx.Err()
				}
			}
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return page.ResourceVersion, nil
		}
	}
}

// watch takes the Events that follow a resourceVersion until the API server ends the watch. It returns the
// resourceVersion to continue from.
func (k *Keeper) watch(ctx context.Context, namespace, resourceVersion string) (string, error) {
	seconds := 300 + rand.Int64N(300)
	w, err := k.cfg.Events.Events(namespace).Watch(ctx, metav1.ListOptions{
		FieldSelector: ofPods, ResourceVersion: resourceVersion, AllowWatchBookmarks: true, TimeoutSeconds: &seconds,
	})
	if err != nil {
		return "", fmt.Errorf("watching Events: %w", err)
	}
	defer w.Stop()
	for change := range w.ResultChan() {
		event, ok := change.Object.(*corev1.Event)
		if !ok {
			return "", fmt.Errorf("watching Events: %w", apierrors.FromObject(change.Object))
		}
		if (change.Type == watch.Added || change.Type == watch.Modified) && !k.take(event) {
			return "", errBacklogFull
		}
		resourceVersion = event.ResourceVersion
	}
	if !wait.For(ctx, readRetry) {
		return "", ctx.Err()
	}
	return resourceVersion, nil
}
