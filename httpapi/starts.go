package httpapi

import (
	"context"
	"net/http"
	"strings"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/httpapi/auth"
	"kontroler/httpapi/trigger"
)

// startHandlers start runs.
type startHandlers struct {
	*base
	*trigger.Starter
}

func (b *base) starts() startHandlers {
	return startHandlers{b, &trigger.Starter{
		Objects: b.objects, Views: b.views, Stored: b.storedVersion, CheckOwn: b.checkOwn,
	}}
}

func (h startHandlers) trigger(w http.ResponseWriter, c *call) error {
	values, err := query(c, "dryRun")
	if err != nil {
		return err
	}
	dryRun, err := oneOf(values, "dryRun", "true", "false")
	if err != nil {
		return err
	}
	dagName, err := h.objectOfPath(c, auth.Operator)
	if err != nil {
		return err
	}
	body, err := decode[struct {
		Name       string                    `json:"name"`
		Parameters []v1alpha1.ParameterValue `json:"parameters"`
	}](c)
	if err != nil {
		return err
	}
	r, err := newRequest(c, c.PathValue("ns"), dagName, body.Parameters)
	if err != nil {
		return err
	}
	if r.Name = body.Name; r.Name != "" {
		if err := checkName("/name", r.Name); err != nil {
			return err
		}
		if r.Key != "" {
			const detail = "must be missing beside an Idempotency-Key, which gives the name"
			return fault(invalid, "The run would have two names.", fieldError{Pointer: "/name", Detail: detail})
		}
	}
	if dryRun == "true" { // a dry run changes nothing, so it is not audited
		if err := h.Check(c.Context(), r); err != nil {
			return err
		}
		return reply(w, http.StatusNoContent, nil)
	}
	return h.start(w, c, r)
}

func (h startHandlers) again(w http.ResponseWriter, c *call) error {
	if _, err := query(c); err != nil {
		return err
	}
	row, err := h.findRun(c)
	if err != nil {
		return err
	}
	if err := h.require(c, row.Namespace, auth.Operator); err != nil {
		return err
	}
	body, err := decode[struct {
		Parameters []v1alpha1.ParameterValue `json:"parameters"`
	}](c)
	if err != nil {
		return err
	}
	r, err := newRequest(c, row.Namespace, row.DAG, body.Parameters)
	if err != nil {
		return err
	}
	r.Source = row.UID
	if r.Inherited, err = h.ParametersOf(c.Context(), row); err != nil {
		return err
	}
	return h.start(w, c, r)
}

// newRequest reads the parts that all requests for runs share.
func newRequest(c *call, namespace, dagName string, given []v1alpha1.ParameterValue) (*trigger.Request, error) {
	key, keys := c.Header.Get("Idempotency-Key"), c.Header.Values("Idempotency-Key")
	isPrinting := !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
	if len(keys) > 1 || len(keys) == 1 && key == "" || len(key) > 255 || !isPrinting {
		return nil, fault(badRequest,
			"The header Idempotency-Key must be there once, with 1 to 255 printing characters of ASCII.")
	}
	r := &trigger.Request{
		Namespace: namespace, DAG: dagName, User: c.principal.User, UserID: c.principal.UserID,
		MayNameSecrets: auth.RoleIn(c.principal.Access, namespace) >= auth.Editor, Key: key, Given: given,
	}
	return r, r.CheckSecrets()
}

// start responds with the DagRun of a request: the one that an earlier request with the same key created, or a new one.
func (h startHandlers) start(w http.ResponseWriter, c *call, r *trigger.Request) error {
	var run *trigger.Run
	var err error
	isNew := false
	if r.Key != "" {
		if run, err = h.Find(c.Context(), r); err != nil {
			return err
		}
	}
	if run == nil {
		err = h.audited(c, "dag.trigger", "dags/"+r.Namespace+"/"+r.DAG, func(ctx context.Context) (err error) {
			run, isNew, err = h.Start(ctx, r)
			return err
		})
	}
	if err != nil {
		return err
	}
	status := http.StatusOK
	if isNew {
		status = http.StatusCreated
	}
	w.Header().Set("Location", "/api/v1/namespaces/"+run.Namespace+"/runs/"+run.Name)
	return reply(w, status, run)
}
