package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/manifest"
	"kontroler/httpapi/objects"
)

// Helpers of the handlers that write to Kubernetes.

// require checks that the caller has a role in a namespace that the server serves.
func (b *base) require(c *call, namespace string, needed auth.Role) error {
	role := auth.RoleIn(c.principal.Access, namespace)
	isServed := len(b.objects.Namespaces) == 0 || slices.Contains(b.objects.Namespaces, namespace)
	switch {
	case role < auth.Viewer, !isServed, len(validation.IsDNS1123Label(namespace)) > 0:
		return fault(notFound, "There is no such namespace, or you may not see it.")
	case role < needed:
		return fault(forbidden, fmt.Sprintf("You need the role %s in namespace %s.", auth.RoleNames[needed], namespace))
	}
	return nil
}

// objectOfPath checks that the caller has a role in the namespace of the path, and returns the name in the path.
func (b *base) objectOfPath(c *call, needed auth.Role) (name string, err error) {
	if err := b.require(c, c.PathValue("ns"), needed); err != nil {
		return "", err
	}
	name = c.PathValue("name")
	if len(validation.IsDNS1123Subdomain(name)) > 0 {
		return "", errUnknown()
	}
	return name, nil
}

// checkName returns a problem if no object can have a name. The audit stores the name before Kubernetes validates it.
func checkName(pointer, name string) error {
	if reasons := validation.IsDNS1123Subdomain(name); len(reasons) > 0 {
		return fault(invalid, "The name is not valid.",
			fieldError{Pointer: pointer, Detail: strings.Join(reasons, "; ")})
	}
	return nil
}

// largeBody lets the bodies of a route be as large as a manifest.
func largeBody(handler func(http.ResponseWriter, *call) error) func(http.ResponseWriter, *call) error {
	return func(w http.ResponseWriter, c *call) error {
		c.Body = http.MaxBytesReader(w, c.arrived.Body, manifest.MaxBytes)
		return handler(w, c)
	}
}

// maxTries is how often a change is tried while others change the same object.
const maxTries = 5

// retryOnChange calls change, which reads an object and changes it. If another change came in between, it retries, at
// most maxTries times in total.
func retryOnChange(ctx context.Context, change func() error) (err error) {
	for range maxTries {
		err = change()
		refusal, ok := errors.AsType[*objects.Refusal](err)
		if !ok || refusal.Reason != objects.Changed || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// checkOwn returns a problem if a DAG belongs to another controller.
func (b *base) checkOwn(ctx context.Context, d *v1alpha1.DAG) error {
	identity, err := b.views.Identity(ctx)
	if err != nil {
		return err
	}
	if objects.IsForeign(d, identity.ControllerID, b.objects.Class) {
		return fault(conflict, "The DAG belongs to another controller. It can only be read here.")
	}
	return nil
}

// storedVersion reads a version of a DagTask from the database.
func (b *base) storedVersion(ctx context.Context, namespace, name string, number int64) ([]byte, int64, error) {
	version, err := b.views.TaskVersion(ctx, namespace, name, number)
	return version.Spec, version.Newest, err
}

// refuseBody refuses the body of a route that takes none.
func refuseBody(c *call) error {
	var one [1]byte
	if n, _ := c.Body.Read(one[:]); n > 0 {
		return fault(badRequest, "The request must have no body.")
	}
	return nil
}
