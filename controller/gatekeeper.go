package controller

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"kontroler/apis/kubeerrors"
	"kontroler/controller/engine"
	"kontroler/controller/kube"
	"kontroler/controller/queue"
	"kontroler/controller/text"
	"kontroler/controller/wait"
	"kontroler/store"
)

// probeEvery is the interval between checks for due probes.
const probeEvery = 250 * time.Millisecond

// gatekeeper holds back creates in namespaces that refuse them, and classifies refusals.
type gatekeeper struct {
	*core
	pods *queue.Gates
	// claims are the gates for PersistentVolumeClaims, which have quotas of their own.
	claims *queue.Gates
}

// passGate reports whether a create may be sent. If not, the attempt waits, and a new reason is recorded.
func (k *gatekeeper) passGate(gates *queue.Gates, row store.Run, c engine.Create) bool {
	why, pass := gates.Pass(row.Namespace, queue.RunKey(row.UID), templateOf(row, c))
	if !pass && c.Reason != why.Reason {
		k.refuse(row, c, why)
	}
	return pass
}

// forget removes a run that has ended from the runs that wait at the gates of its namespace.
func (k *gatekeeper) forget(namespace string, key queue.RunKey) {
	k.pods.Forget(namespace, key)
	k.claims.Forget(namespace, key)
}

func templateOf(row store.Run, c engine.Create) queue.Template {
	return queue.Template{Version: row.VersionID, Task: c.Task}
}

// createFailed classifies the error of a create. It records a refusal for the engine, and returns any other error,
// which is retried. gates are those of the object that was to be created: the Pod, or the claim of its workspace.
func (k *gatekeeper) createFailed(row store.Run, c engine.Create, gates *queue.Gates, err error) error {
	// Without the name of the Pod, the message is the same for every attempt.
	refusal := engine.Refusal{
		Message: text.Shorten(strings.ReplaceAll(err.Error(), strconv.Quote(c.PodName)+" ", ""), text.MaxBytes),
	}
	switch {
	// Only the text distinguishes an exceeded quota from other 403 responses.
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		refusal.Reason = engine.ReasonQuotaExceeded
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		refusal.Reason = engine.ReasonNamespaceTerminating
	case kubeerrors.IsTooLarge(err):
		refusal.Reason, refusal.IsPermanent = engine.ReasonCreateRefused, true
		refusal.Message += ". Shorten the parameters, or pass large values through a ConfigMap or a workspace"
	case kube.IsInvalid(err):
		refusal.Reason, refusal.IsPermanent = engine.ReasonCreateRefused, true
	case kube.IsServerFault(err):
		refusal.Reason = engine.ReasonCreateFailed
	case kube.IsRefusal(err):
		refusal.Reason = engine.ReasonCreateRefused
	default:
		return fmt.Errorf("creating pod %q: %w", c.PodName, err)
	}
	if !refusal.IsPermanent {
		gates.Refused(row.Namespace, queue.RunKey(row.UID), templateOf(row, c), refusal, k.now())
	}
	if refusal.IsPermanent || c.Reason != refusal.Reason {
		k.refuse(row, c, refusal)
	}
	return nil
}

// refuse records a refusal for the next sync, and enqueues the run.
func (k *gatekeeper) refuse(row store.Run, c engine.Create, r engine.Refusal) {
	k.backlog.pending.Refused(queue.RunKey(row.UID), c.PodName, r)
	k.backlog.queue.Add(queue.RunKey(row.UID))
}

// probeNamespaces probes the namespaces that refuse creates, until ctx ends.
func (k *gatekeeper) probeNamespaces(ctx context.Context) {
	for wait.For(ctx, probeEvery) {
		k.pods.Probe(k.now())
		k.claims.Probe(k.now())
	}
}
