package conditions

import (
	"context"
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/text"
	"kontroler/store"
)

const (
	// errorLasts is how long the syncs of an object must fail before its condition says so.
	errorLasts = 5 * time.Second
	// ReasonSyncFailed is the reason of a condition that SyncErrors make.
	ReasonSyncFailed = "SyncFailed"
)

// SyncErrors has the last error of each object whose syncs fail. Its conditions show users errors that otherwise only
// the log has.
type SyncErrors[K comparable] struct {
	mu    sync.Mutex
	byKey map[K]syncError
}

type syncError struct {
	since   time.Time
	message string
}

// NewSyncErrors makes an empty set.
func NewSyncErrors[K comparable]() *SyncErrors[K] { return &SyncErrors[K]{byKey: map[K]syncError{}} }

// Note records the result of a sync. It reports whether the condition of the object changes.
func (t *SyncErrors[K]) Note(key K, err error, now time.Time) (changed bool) {
	if isTransient(err) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	known, failing := t.byKey[key]
	if err == nil {
		delete(t.byKey, key)
		return failing && now.Sub(known.since) >= errorLasts
	}
	if !failing {
		known.since = now
	}
	changed = now.Sub(known.since) >= errorLasts
	t.byKey[key] = syncError{since: known.since, message: text.Shorten(err.Error(), text.MaxBytes)}
	return changed
}

// Condition returns the condition of an object whose syncs have failed for errorLasts, otherwise nil.
func (t *SyncErrors[K]) Condition(key K, now time.Time) *metav1.Condition {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, failing := t.byKey[key]
	if !failing || now.Sub(known.since) < errorLasts {
		return nil
	}
	return &metav1.Condition{
		Type:               v1alpha1.ConditionReconciled,
		Status:             metav1.ConditionFalse,
		Reason:             ReasonSyncFailed,
		Message:            known.message,
		LastTransitionTime: metav1.NewTime(known.since),
	}
}

// isTransient reports whether an error says nothing about the object: another leader has taken over, somebody else
// wrote at the same time, or the context was cancelled.
func isTransient(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrConflict) || apierrors.IsConflict(err) ||
		errors.Is(err, context.Canceled)
}

// Set sets a condition. A nil condition removes it.
func Set(conditions *[]metav1.Condition, kind string, condition *metav1.Condition, generation int64) {
	if condition == nil {
		meta.RemoveStatusCondition(conditions, kind)
		return
	}
	put := *condition
	put.Type, put.ObservedGeneration, put.Message = kind, generation, text.Shorten(put.Message, 4096)
	meta.SetStatusCondition(conditions, put)
}

// Says reports whether a condition has the message of want, or is absent if want is nil.
func Says(conditions []metav1.Condition, kind string, want *metav1.Condition) bool {
	shown := meta.FindStatusCondition(conditions, kind)
	if shown == nil || want == nil {
		return shown == nil && want == nil
	}
	return shown.Message == text.Shorten(want.Message, 4096)
}
