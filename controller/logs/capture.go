package logs

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"kontroler/controller/engine"
	"kontroler/controller/podlog"
	"kontroler/controller/text"
	"kontroler/store"
)

const (
	// answerTimeout bounds the wait for the start of the response, readTimeout the whole read.
	answerTimeout, readTimeout = 10 * time.Second, time.Minute
	// A failed read is retried every nodeRetry, until nodePatience after the first failure. If the node answers that
	// there is no log, the read is retried every missingRetry, until missingPatience, because a kubelet that has just
	// started does not know its Pods yet.
	nodePatience, nodeRetry       = 2 * time.Minute, 5 * time.Second
	missingPatience, missingRetry = 3 * time.Second, time.Second
)

// capture reads the log that the node serves and stores it. If the node serves none, capture stores the log that
// streamed has read, if there is a stream. done is false if the Pod was enqueued to read the log again.
func (k *Keeper) capture(
	ctx context.Context, p *corev1.Pod, runID int64, attempt store.Attempt, streamed *stream,
) (done bool, err error) {
	log, wasCached := podlog.New(k.cfg.Limit, nil), k.cached(p) != nil
	reading, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer := time.AfterFunc(answerTimeout, cancel)
	defer answer.Stop()
	err = k.read(reading, p, log, false, func() { answer.Stop() })
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	patience, retry := nodePatience, nodeRetry
	isTooSlow := errors.Is(reading.Err(), context.DeadlineExceeded)
	switch {
	case errors.Is(err, errNoLog):
		patience, retry = missingPatience, missingRetry
	case reading.Err() != nil && !isTooSlow:
		err = fmt.Errorf("no answer within %s", answerTimeout)
	}
	if attempt.Reason == engine.ReasonNodeLost {
		patience = 0
	}
	if now := k.cfg.Now(); err != nil && !isTooSlow {
		first, _ := k.failedSince.LoadOrStore(p.UID, now)
		if wasCached && k.cached(p) == nil {
			k.failedSince.Delete(p.UID) // Forget may have come before
		}
		if now.Before(first.(time.Time).Add(patience)) {
			k.cfg.Log.Debug("log will be read again", "namespace", p.Namespace, "pod", p.Name, "error", err)
			k.cfg.EnqueueAfter(cache.MetaObjectToName(p), retry)
			return false, nil
		}
	}
	result := log.Finish()
	row := describe(p, attempt, result, time.Time{}, k.cfg.Limit)
	switch {
	case err != nil && result.Bytes == 0 && streamed != nil:
		row, result = describeStream(p, attempt, streamed, k.cfg.Limit), streamed.result
	case err != nil && result.Bytes == 0:
		row = store.Log{
			AttemptID: attempt.ID, At: attempt.FinishedAt, State: store.LogLost, Message: lostMessage(p, err),
		}
	case isTooSlow:
		row.IsIncomplete = true
		row.Message = join(row.Message, fmt.Sprintf("the node did not serve the whole log within %s", readTimeout))
	case err != nil:
		row.IsIncomplete = true
		row.Message = join(row.Message, "reading ended early: "+text.Clean(err.Error()))
	}
	return true, k.save(ctx, p, runID, row, result.Blocks)
}
