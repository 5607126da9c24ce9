package cluster

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Error means that a request to the API server failed. A retry may succeed.
type Error struct {
	// Detail says what failed. It is one or more sentences for users.
	Detail string
	cause  error
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%v)", e.Detail, e.cause) }

func (e *Error) Unwrap() error { return e.cause }

// detailOf returns the Detail of an *Error, or "" for another error.
func detailOf(err error) string {
	if failed, ok := errors.AsType[*Error](err); ok {
		return failed.Detail
	}
	return ""
}

// IsAbsent reports whether an error says that an object, or its namespace, does not exist. The API server also answers
// 404 for a kind without a CustomResourceDefinition; IsAbsent is false for that.
func IsAbsent(err error) bool {
	var answer apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &answer) {
		return false
	}
	details := answer.Status().Details
	return details != nil && details.Name != "" &&
		!apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// request describes a request to the API server. namespace is empty for all namespaces.
type request struct{ verb, resource, namespace string }

func (r request) String() string {
	if r.namespace == "" {
		return fmt.Sprintf("%s %s in all namespaces", r.verb, r.resource)
	}
	return fmt.Sprintf("%s %s in namespace %s", r.verb, r.resource, r.namespace)
}

// failed returns the error for a failed request whose cause is not the client's input: an *Error, or a plain error if
// the request was cancelled. It returns nil for nil.
func (r request) failed(err error) error {
	detail := "The Kubernetes API does not answer."
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", r, err)
	case apierrors.IsForbidden(err) && r.namespace != "":
		detail = fmt.Sprintf("Kubernetes does not let the server %s. "+
			"The namespace is gone, or lacks the server's Role (manifests/README.md).", r)
	case apierrors.IsForbidden(err):
		detail = fmt.Sprintf("Kubernetes does not let the server %s. Its roles are in manifests/server.", r)
	case apierrors.IsUnauthorized(err):
		detail = "The Kubernetes API does not accept the credential of the server."
	case apierrors.IsNotFound(err):
		detail = fmt.Sprintf("The cluster has no %s. Their definitions are in manifests/crd.", r.resource)
	}
	return &Error{detail, fmt.Errorf("%s: %w", r, err)}
}
