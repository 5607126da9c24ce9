package kube

import (
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kubeerrors"
)

// IsGone reports whether a request with a precondition failed because the object no longer exists, or another one has
// its name.
func IsGone(err error) bool { return apierrors.IsNotFound(err) || apierrors.IsConflict(err) }

// IgnoreNotFound drops the error of a patch to an object that no longer exists. A conflict stays an error, so that the
// key is retried.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// WithUID limits a request to the object with this UID.
func WithUID(uid string) *metav1.Preconditions {
	u := types.UID(uid)
	return &metav1.Preconditions{UID: &u}
}

// hangsAfter is how long a failed request must have taken to count as one that hung in an admission webhook.
const hangsAfter = 5 * time.Second

// Hung reports whether a request that has just failed with err took so long that an admission webhook probably hung.
// sent is when it was sent. Similar requests to the namespace would probably hang too, so a sync must not send them one
// after the other.
func Hung(err error, sent time.Time) bool { return err != nil && time.Since(sent) > hangsAfter }

// IsRefusal reports whether the API server, or an admission webhook, has refused an object.
func IsRefusal(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch code := status.Status().Code; {
	case apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsTooManyRequests(err),
		apierrors.IsConflict(err), apierrors.IsUnauthorized(err):
		return false
	default:
		return code >= 400
	}
}

// IsInvalid reports whether the API server can never accept an object, because a field has an invalid value or the
// object is too large. The denial of a ValidatingAdmissionPolicy, which is Invalid too unless the policy says
// otherwise, names no field.
func IsInvalid(err error) bool {
	if kubeerrors.IsTooLarge(err) {
		return true
	}
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return false
	}
	return slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool { return c.Field != "" })
}

// IsServerFault reports whether the API server, or an admission webhook, has failed. The failure may last.
func IsServerFault(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code >= 500 &&
		!apierrors.IsTimeout(err) && !apierrors.IsServerTimeout(err) && !kubeerrors.IsTooLarge(err)
}

// UTC converts a time of the API. A missing time is zero. So is 1970, which runtimes report as the start of a container
// that did not start.
func UTC(t metav1.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t.UTC()
}
