package kube

import (
	"errors"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// TestAnswersToCreates: what an answer says about the object that was to be created.
func TestAnswersToCreates(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	denial := apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p", nil)
	denial.ErrStatus.Details.Causes = []metav1.StatusCause{{Message: "not on Fridays"}}
	for name, test := range map[string]struct {
		answer                              error
		isInvalid, isRefusal, isServerFault bool
	}{
		"a field with an invalid value": {
			answer: apierrors.NewInvalid(schema.GroupKind{Kind: "Pod"}, "p",
				field.ErrorList{field.Required(field.NewPath("spec", "containers"), "")}),
			isInvalid: true, isRefusal: true,
		},
		"a ValidatingAdmissionPolicy without a reason": {answer: denial, isRefusal: true},
		"a webhook without a code": {
			answer: apierrors.NewBadRequest(`admission webhook "w" denied the request: no`), isRefusal: true,
		},
		"a quota": {answer: apierrors.NewForbidden(pods, "p", errors.New("exceeded quota")), isRefusal: true},
		"a body that is too large": {
			answer: apierrors.NewRequestEntityTooLargeError("limit is 3145728"), isInvalid: true, isRefusal: true,
		},
		"an object that is too large for etcd": {
			answer: plainFault("etcdserver: request is too large"), isInvalid: true, isRefusal: true,
		},
		"an object that the client of etcd does not send": {
			answer: plainFault("rpc error: code = ResourceExhausted desc = " +
				"trying to send message larger than max (2200789 vs. 2097152)"),
			isInvalid: true, isRefusal: true,
		},
		"an etcd that has no space left": {
			answer: plainFault("etcdserver: mvcc: database space exceeded"), isRefusal: true, isServerFault: true,
		},
		"a webhook that quotes etcd": {
			answer: apierrors.NewInternalError(errors.New(
				"failed calling webhook: etcdserver: request is too large")),
			isRefusal: true, isServerFault: true,
		},
		"a webhook that fails": {
			answer:    apierrors.NewInternalError(errors.New("failed calling webhook")),
			isRefusal: true, isServerFault: true,
		},
		"a token that has expired": {answer: apierrors.NewUnauthorized("expired")},
		"a busy API server":        {answer: apierrors.NewTooManyRequestsError("busy")},
		"no answer":                {answer: errors.New("connection refused")},
	} {
		t.Run(name, func(t *testing.T) {
			if got := IsInvalid(test.answer); got != test.isInvalid {
				t.Errorf("IsInvalid is %v", got)
			}
			if got := IsRefusal(test.answer); got != test.isRefusal {
				t.Errorf("IsRefusal is %v", got)
			}
			if got := IsServerFault(test.answer); got != test.isServerFault {
				t.Errorf("IsServerFault is %v", got)
			}
		})
	}
}

// plainFault is how the API server passes on an error of etcd.
func plainFault(words string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 500, Message: words}}
}
