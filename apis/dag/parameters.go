package dag

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kontroler/apis/kontroler/v1alpha1"
)

const (
	maxParameters         = 256
	maxParameterNameBytes = 253
	// maxEnvBytes is the maximum size of an environment variable in Linux: "name=value" and a NUL.
	maxEnvBytes = 131072
)

// Value is a resolved parameter of a run: a plain value or a reference to a Secret, never the value of a Secret. The
// database stores it in this JSON form.
type Value struct {
	// Name of the parameter and of the environment variable.
	Name string `json:"name"`
	// Value of a plain parameter. It is nil for a secret parameter.
	Value *string `json:"value,omitempty"`
	// Secret is the name of the Secret of a secret parameter.
	Secret string `json:"secret,omitempty"`
	// Key in the Secret.
	Key string `json:"key,omitempty"`
}

// Resolve returns the parameters of a run, sorted by name: the defaults of the DAG with the overrides applied. An
// override must name a parameter of the DAG, once, and have the same kind. Otherwise Resolve returns faults with
// paths of the DagRun (spec.parameters[i]…) and no values.
func (g *Graph) Resolve(overrides []v1alpha1.ParameterValue) ([]Value, field.ErrorList) {
	parameters := g.spec.Parameters
	values := make([]Value, len(parameters))
	for i := range parameters {
		values[i] = defaultOf(&parameters[i])
	}
	var f faults
	root := field.NewPath("spec", "parameters")
	if len(overrides) > maxParameters {
		f.add(field.TooMany(root, len(overrides), maxParameters))
	}
	given := make([]bool, len(parameters))
	for i := range overrides {
		override, path := &overrides[i], root.Index(i)
		position, known := g.parameters[override.Name]
		switch {
		case !known:
			f.add(notFound(path.Child("name"), override.Name, "the DAG has no parameter of this name"))
		case given[position]:
			f.add(duplicate(path.Child("name"), override.Name))
		default:
			given[position] = true
			values[position] = resolveOne(&f, path, override, &parameters[position])
		}
	}
	if faults := f.list(); len(faults) > 0 {
		return nil, faults
	}
	slices.SortFunc(values, func(a, b Value) int { return strings.Compare(a.Name, b.Name) })
	return values, nil
}

func defaultOf(p *v1alpha1.Parameter) Value { return defaultSource(p).value(p.Name) }

// resolveOne returns the value of an overridden parameter. Faults do not quote plain values, because somebody may
// have put a secret into the wrong field.
func resolveOne(f *faults, path *field.Path, o *v1alpha1.ParameterValue, p *v1alpha1.Parameter) Value {
	given, wanted := overrideSource(o), defaultSource(p)
	switch {
	case !given.check(f, path, o.Name):
	case wanted.isPlain() && !given.isPlain():
		f.add(field.Forbidden(path.Child(given.used()),
			fmt.Sprintf("parameter %q is a plain parameter: override it with value", cut(o.Name))))
	case !wanted.isPlain() && given.isPlain():
		f.add(field.Forbidden(path.Child("value"), fmt.Sprintf(
			"parameter %q is a secret parameter: override it with fromSecret or secretKeyRef", cut(o.Name),
		)))
	default:
		return given.value(o.Name)
	}
	return Value{Name: o.Name}
}

// source is where the value of a parameter comes from: one of three fields. Their names differ between DAG and DagRun.
type source struct {
	plain       *string
	plainField  string
	secret      string
	secretField string
	ref         *v1alpha1.SecretKeyRef
	refField    string
}

func defaultSource(p *v1alpha1.Parameter) source {
	return newSource(source{
		plain: p.DefaultValue, plainField: "defaultValue",
		secret: p.DefaultFromSecret, secretField: "defaultFromSecret",
		ref: p.DefaultSecretKeyRef, refField: "defaultSecretKeyRef",
	})
}

func overrideSource(o *v1alpha1.ParameterValue) source {
	return newSource(source{
		plain: o.Value, plainField: "value",
		secret: o.FromSecret, secretField: "fromSecret",
		ref: o.SecretKeyRef, refField: "secretKeyRef",
	})
}

// newSource drops an empty plain value beside another source. Manifests of the existing Kontroler have both fields,
// one of them empty.
func newSource(s source) source {
	if s.plain != nil && *s.plain == "" && (s.secret != "" || s.ref != nil) {
		s.plain = nil
	}
	return s
}

func (s source) isPlain() bool { return s.plain != nil }

// value returns the value from the source. It shares nothing with the spec.
func (s source) value(name string) Value {
	v := Value{Name: name}
	switch {
	case s.plain != nil:
		text := *s.plain
		v.Value = &text
	case s.ref != nil:
		v.Secret, v.Key = s.ref.Name, s.ref.Key
	default:
		v.Secret, v.Key = s.secret, v1alpha1.SecretKey
	}
	return v
}

// used returns the name of the first field that is set.
func (s source) used() string {
	switch {
	case s.plain != nil:
		return s.plainField
	case s.secret != "":
		return s.secretField
	default:
		return s.refField
	}
}

// check adds the faults of the source of a parameter. It reports whether exactly one field is set.
func (s source) check(f *faults, path *field.Path, name string) bool {
	count := countSet(s.plain != nil, s.secret != "", s.ref != nil)
	if count != 1 {
		rule := fmt.Sprintf("exactly one of %s, %s and %s is required", s.plainField, s.secretField, s.refField)
		if count == 0 {
			f.add(field.Required(path, rule))
		} else {
			f.add(field.Forbidden(path, rule))
		}
	}
	if s.plain != nil {
		withoutNUL(f, path.Child(s.plainField), *s.plain)
		if limit := maxEnvBytes - len(name) - len("=\x00"); len(*s.plain) > limit {
			f.add(tooLongValue(path.Child(s.plainField), limit))
		}
	}
	if s.secret != "" {
		objectName(f, path.Child(s.secretField), s.secret)
	}
	if s.ref != nil {
		checkSecretKeyRef(f, path.Child(s.refField), s.ref)
	}
	return count == 1
}

// tooLongValue is the fault of a value that is too long for an environment variable.
func tooLongValue(path *field.Path, limit int) *field.Error {
	return &field.Error{
		Type:     field.ErrorTypeTooLong,
		Field:    path.String(),
		BadValue: field.OmitValueType{},
		Detail: fmt.Sprintf(
			"must be at most %d bytes, because Linux accepts no longer environment variable: "+
				"put it into a ConfigMap or Secret and mount that with podTemplate.volumes",
			limit,
		),
	}
}

func checkSecretKeyRef(f *faults, path *field.Path, ref *v1alpha1.SecretKeyRef) {
	objectName(f, path.Child("name"), ref.Name)
	if ref.Key == "" {
		f.add(field.Required(path.Child("key"), ""))
		return
	}
	wellFormed(f, path.Child("key"), ref.Key, validation.IsConfigMapKey)
}

// checkParameters checks the DAG's parameters and indexes them by name.
func (c *compiler) checkParameters() {
	parameters := c.spec.Parameters
	root := c.root.Child("parameters")
	c.parameters = make(map[string]int32, len(parameters))
	c.parameter = make([]int32, len(parameters))
	if len(parameters) > maxParameters {
		c.add(field.TooMany(root, len(parameters), maxParameters))
	}
	for i := range parameters {
		p, path := &parameters[i], root.Index(i)
		c.checkParameterName(path.Child("name"), p.Name)
		if _, taken := c.parameters[p.Name]; taken {
			c.add(duplicate(path.Child("name"), p.Name))
		} else {
			c.parameters[p.Name] = int32(i)
		}
		defaultSource(p).check(&c.faults, path, p.Name)
	}
}

// checkParameterName accepts every name that some version of Kubernetes accepts for an environment variable. An older
// cluster rejects it itself.
func (c *compiler) checkParameterName(path *field.Path, name string) {
	switch {
	case name == "":
		c.add(field.Required(path, ""))
	case len(name) > maxParameterNameBytes:
		c.add(field.TooLong(path, "", maxParameterNameBytes))
	default:
		wellFormed(&c.faults, path, name, validation.IsRelaxedEnvVarName)
	}
}
