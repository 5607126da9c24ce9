package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/answer"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/cluster"
	"kontroler/httpapi/manifest"
	"kontroler/httpapi/objects"
)

// manifestHandlers write the objects of a kind from manifests.
type manifestHandlers[T objects.Object] struct {
	*base
	kind *objects.Kind[T]
	read func([]byte, manifest.Format, manifest.Place) (T, []string, error)
	// claim sets the class of the server's controller in a manifest, and refuses any other class.
	claim func(T) error
	// checkOwn returns a problem if a live object belongs to another controller.
	checkOwn func(context.Context, T) error
}

func (b *base) dagManifests() manifestHandlers[*v1alpha1.DAG] {
	claim := func(d *v1alpha1.DAG) error {
		if class := d.Spec.ControllerClass; class != "" && class != b.objects.Class {
			return fault(invalid, "The DAG is for another controller.", fieldError{
				Pointer: "/spec/controllerClass", Detail: fmt.Sprintf("must be %q, or be missing", b.objects.Class),
			})
		}
		d.Spec.ControllerClass = b.objects.Class
		return nil
	}
	return manifestHandlers[*v1alpha1.DAG]{b, b.objects.DAGs(b.storedVersion), manifest.DAG, claim, b.checkOwn}
}

// taskManifests writes DagTasks. Every controller uses them, so none owns them.
func (b *base) taskManifests() manifestHandlers[*v1alpha1.DagTask] {
	return manifestHandlers[*v1alpha1.DagTask]{
		b, b.objects.DagTasks(), manifest.DagTask, func(*v1alpha1.DagTask) error { return nil },
		func(context.Context, *v1alpha1.DagTask) error { return nil },
	}
}

func replyObject(w http.ResponseWriter, status int, object metav1.Object, warnings ...string) error {
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(object.GetGeneration(), 10)))
	return reply(w, status, answer.OfObject(object, warnings...))
}

// decode reads the manifest in the body.
func (h manifestHandlers[T]) decode(c *call, name string) (given T, warnings []string, err error) {
	given, warnings, err = decodeManifest(c, h.read, name)
	if err == nil {
		err = h.claim(given)
	}
	return given, warnings, err
}

// auditName returns the name of an object in the audit.
func (h manifestHandlers[T]) auditName(c *call, name string) string {
	return h.kind.Resource() + "/" + c.PathValue("ns") + "/" + name
}

// action returns the name of an action in the audit, such as dag.create.
func (h manifestHandlers[T]) action(verb string) string {
	return strings.TrimSuffix(h.kind.Resource(), "s") + "." + verb
}

func (h manifestHandlers[T]) create(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	if err := h.require(c, c.PathValue("ns"), auth.Editor); err != nil {
		return err
	}
	given, _, err := h.decode(c, "")
	if err != nil {
		return err
	}
	var created T
	name := given.GetName()
	if err := checkName("/metadata/name", name); err != nil {
		return err
	}
	err = h.audited(c, h.action("create"), h.auditName(c, name), func(ctx context.Context) (err error) {
		created, err = h.kind.Create(ctx, given)
		return err
	})
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/api/v1/namespaces/"+c.PathValue("ns")+"/"+h.kind.Resource()+"/"+name)
	return replyObject(w, http.StatusCreated, created)
}

func (h manifestHandlers[T]) update(w http.ResponseWriter, c *call) error {
	values, err := query(c, "force")
	if err != nil {
		return err
	}
	force, err := oneOf(values, "force", "true", "false")
	if err != nil {
		return err
	}
	name, err := h.objectOfPath(c, auth.Editor)
	if err != nil {
		return err
	}
	generation, err := ifMatch(c)
	if err != nil {
		return err
	}
	given, _, err := h.decode(c, name)
	if err != nil {
		return err
	}
	var updated T
	err = h.audited(c, h.action("update"), h.auditName(c, name), func(ctx context.Context) error {
		return retryOnChange(ctx, func() error {
			live, err := h.find(ctx, c, name)
			if err != nil {
				return err
			}
			if err := checkGeneration(live, generation); err != nil {
				return err
			}
			if managers := cluster.SpecManagers(live); len(managers) > 0 && force != "true" {
				return fault(conflict, fmt.Sprintf("%s wrote the spec. Change it there, or send it with ?force=true.",
					strings.Join(managers, ", ")))
			}
			updated, err = h.kind.Replace(ctx, live, given)
			return err
		})
	})
	if err != nil {
		return err
	}
	return replyObject(w, http.StatusOK, updated)
}

// find reads a live object. It returns a problem if the object is being deleted or belongs to another controller.
func (h manifestHandlers[T]) find(ctx context.Context, c *call, name string) (T, error) {
	live, err := h.kind.Get(ctx, c.PathValue("ns"), name)
	if err != nil {
		return live, err
	}
	if live.GetDeletionTimestamp() != nil {
		return live, fault(conflict, "The object is being deleted.")
	}
	return live, h.checkOwn(ctx, live)
}

func checkGeneration(live metav1.Object, generation int64) error {
	if live.GetGeneration() == generation {
		return nil
	}
	return fault(preconditionFailed, fmt.Sprintf("The object has generation %d. Read it again.", live.GetGeneration()))
}

// delete deletes an object. If the header If-Match is set, the object must have that generation.
func (h manifestHandlers[T]) delete(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	name, err := h.objectOfPath(c, auth.Editor)
	if err != nil {
		return err
	}
	generation, err := int64(0), error(nil)
	if c.Header.Get("If-Match") != "" {
		if generation, err = ifMatch(c); err != nil {
			return err
		}
	}
	var uid types.UID // of the first try
	err = h.audited(c, h.action("delete"), h.auditName(c, name), func(ctx context.Context) error {
		return retryOnChange(ctx, func() error {
			live, err := h.find(ctx, c, name)
			if err == nil && generation != 0 {
				err = checkGeneration(live, generation)
			}
			if err != nil {
				return err
			}
			if uid = cmp.Or(uid, live.GetUID()); uid != live.GetUID() {
				return fault(conflict, "Another object has the name now.")
			}
			return h.kind.Delete(ctx, live)
		})
	})
	if err != nil {
		return err
	}
	return reply(w, http.StatusNoContent, nil)
}

// validate reports the faults of a manifest, whether its object exists or not. It changes nothing, so it is not
// audited.
func (h manifestHandlers[T]) validate(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	if err := h.require(c, c.PathValue("ns"), auth.Editor); err != nil {
		return err
	}
	given, dropped, err := h.decode(c, "")
	if err != nil {
		return err
	}
	live, err := h.existing(c, given.GetName())
	if err != nil {
		return err
	}
	faults, warnings, err := h.kind.Check(c.Context(), given, live)
	if err != nil {
		return err
	}
	if len(faults) > 0 {
		return fault(invalid, "The manifest is not valid.", answer.All(faults, viewFault)...)
	}
	return reply(w, http.StatusOK, answer.Validation{
		Valid: true, Warnings: append(answer.OrEmpty(dropped), warnings...),
	})
}

// existing returns the live object of a name, or nil if there is none. The name may be invalid.
func (h manifestHandlers[T]) existing(c *call, name string) (*T, error) {
	if checkName("", name) != nil {
		return nil, nil
	}
	live, err := h.kind.Get(c.Context(), c.PathValue("ns"), name)
	if refusal, ok := errors.AsType[*objects.Refusal](err); ok && refusal.Reason == objects.Absent {
		return nil, nil
	}
	return &live, err
}

// suspensionHandlers suspend and resume the schedules of DAGs.
type suspensionHandlers struct {
	manifestHandlers[*v1alpha1.DAG]
}

func (h suspensionHandlers) suspend(w http.ResponseWriter, c *call) error {
	return h.set(w, c, "suspend", true)
}

func (h suspensionHandlers) resume(w http.ResponseWriter, c *call) error {
	return h.set(w, c, "resume", false)
}

func (h suspensionHandlers) set(w http.ResponseWriter, c *call, verb string, isSuspended bool) error {
	if _, err := query(c); err != nil {
		return err
	}
	name, err := h.objectOfPath(c, auth.Operator)
	if err != nil {
		return err
	}
	if err := refuseBody(c); err != nil {
		return err
	}
	var changed *v1alpha1.DAG
	var warnings []string
	err = h.audited(c, h.action(verb), h.auditName(c, name), func(ctx context.Context) error {
		return retryOnChange(ctx, func() error {
			live, err := h.find(ctx, c, name)
			if err != nil {
				return err
			}
			changed, warnings, err = h.objects.Suspend(ctx, live, isSuspended)
			return err
		})
	})
	if err != nil {
		return err
	}
	return replyObject(w, http.StatusOK, changed, warnings...)
}
