// Package kubeerrors classifies errors of the API server that client-go does not distinguish.
//
// It is below apis because the controller and the server both write objects and do not import each other.
package kubeerrors

import (
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// IsTooLarge reports whether an object is too large for the API server or for etcd. The API server returns the error
// of etcd, or of its etcd client, as a plain 500. Only the text distinguishes it from a fault of the server.
func IsTooLarge(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	message := status.Status().Message
	return apierrors.IsRequestEntityTooLargeError(err) || message == "etcdserver: request is too large" ||
		strings.HasPrefix(message, "rpc error: code = ResourceExhausted") &&
			strings.Contains(message, "message larger than max")
}
