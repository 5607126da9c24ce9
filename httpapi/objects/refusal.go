package objects

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/apis/kubeerrors"
	"kontroler/httpapi/cluster"
)

// Reason classifies a Refusal.
type Reason int

// The reasons.
const (
	Absent     Reason = iota // there is no such object or namespace
	Exists                   // another object has the name
	Changed                  // another change came in between
	Denied                   // a quota, a policy or a webhook denies it, or the namespace is being deleted
	Invalid                  // values are wrong
	TooLarge                 // the object is too large for Kubernetes
	Away                     // the API server does not answer, has failed, or lacks something
	Forbidden                // the server lacks a permission
	NotAllowed               // the caller lacks a right
)

// Fault says what is wrong with a field.
type Fault struct {
	// Field is a field path, such as spec.task[0].image. Empty means the whole object.
	Field, Detail string
}

// Refusal is the error of a failed request to the API server.
type Refusal struct {
	Reason Reason
	// Detail is a sentence for the client.
	Detail string
	Faults []Fault
	cause  error
}

func (r *Refusal) Error() string {
	if r.cause != nil {
		return r.cause.Error()
	}
	return r.Detail
}

func (r *Refusal) Unwrap() error { return r.cause }

// request describes a request to the API server in error texts.
type request struct{ verb, resource, namespace, name string }

// maxMessage bounds a message of Kubernetes in bytes, because it may quote a large value.
const maxMessage = 1000

func cut(text string) string {
	if len(text) > maxMessage {
		return text[:maxMessage] + "…"
	}
	return text
}

// explain returns the *Refusal for the error of a request, or nil for nil.
func (c Client) explain(ctx context.Context, err error, r request) error {
	if err == nil {
		return nil
	}
	refuse := func(reason Reason, detail string, faults ...Fault) error {
		cause := fmt.Errorf("%s %s %s/%s: %w", r.verb, r.resource, r.namespace, r.name, err)
		return &Refusal{reason, detail, faults, cause}
	}
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return refuse(Away, "The API server of Kubernetes does not answer."+mayHaveHappened(r.verb))
	}
	status := answer.Status()
	switch {
	case cluster.IsAbsent(err) && status.Details.Kind == "namespaces":
		return refuse(Absent, "There is no such namespace.")
	case cluster.IsAbsent(err):
		return refuse(Absent, "There is no such object, or you may not see it.")
	case apierrors.IsNotFound(err):
		return refuse(Away, fmt.Sprintf("Kubernetes does not have the resource %s. Apply manifests/crd.", r.resource))
	case apierrors.IsAlreadyExists(err):
		return refuse(Exists, fmt.Sprintf("There is already one of the name %s.", r.name))
	case apierrors.IsConflict(err):
		return refuse(Changed, "Another change came in between. Read the object again.")
	case kubeerrors.IsTooLarge(err):
		return refuse(TooLarge, "The object is larger than Kubernetes stores, which is 1.5 MiB by default. "+
			"Move large scripts to images or ConfigMaps, and large values of parameters to ConfigMaps or a workspace.")
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return refuse(Denied, "The namespace is being deleted.")
	case apierrors.IsForbidden(err):
		return c.explainForbidden(ctx, status, r, refuse)
	case apierrors.IsUnauthorized(err):
		return refuse(Away, "The API server of Kubernetes does not accept the credentials of this server.")
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsTooManyRequests(err):
		return refuse(Away, "The API server of Kubernetes is overloaded."+mayHaveHappened(r.verb))
	case status.Code >= http.StatusInternalServerError:
		return refuse(Away, "The API server of Kubernetes, or one of its webhooks, has failed."+mayHaveHappened(r.verb))
	case apierrors.IsInvalid(err):
		return refuse(Invalid, "Kubernetes refuses values.", faultsOf(status)...)
	}
	return refuse(Invalid, "Kubernetes refuses the object: "+cut(status.Message))
}

// mayHaveHappened returns a sentence for the client, because a failed change may have been made. A trigger is safe to
// repeat with its key.
func mayHaveHappened(verb string) string {
	if verb == "get" {
		return ""
	}
	return " The change may have been made: look before you repeat it, or repeat a trigger with its Idempotency-Key."
}

// explainForbidden distinguishes a missing permission of the server from a quota, a policy or a webhook that denies the
// change. The responses differ only in their text, so it sends a SelfSubjectAccessReview.
func (c Client) explainForbidden(
	ctx context.Context, status metav1.Status, r request, refuse func(Reason, string, ...Fault) error,
) error {
	review, err := c.Core.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx,
		&authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: v1alpha1.GroupName, Resource: r.resource, Verb: r.verb, Namespace: r.namespace,
			},
		}}, metav1.CreateOptions{})
	if err != nil || !review.Status.Allowed {
		return refuse(Forbidden, fmt.Sprintf("This server lacks the permission to %s %s in namespace %s. "+
			"Apply manifests/server.", r.verb, r.resource, r.namespace))
	}
	return refuse(Denied, "Kubernetes denies it: "+cut(status.Message))
}

func faultsOf(status metav1.Status) (faults []Fault) {
	if status.Details != nil {
		for _, cause := range status.Details.Causes {
			faults = append(faults, Fault{Field: cause.Field, Detail: cut(cause.Message)})
		}
	}
	if len(faults) == 0 {
		faults = []Fault{{Detail: cut(status.Message)}}
	}
	return faults
}
