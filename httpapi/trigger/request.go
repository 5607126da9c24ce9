package trigger

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"kontroler/apis/kontroler/v1alpha1"
)

// Request asks for a run of a DAG.
type Request struct {
	Namespace, DAG string
	User           string
	UserID         int64
	// MayNameSecrets reports that the user may override parameters by Secrets.
	MayNameSecrets bool
	// Key is the Idempotency-Key, Name the requested name of the DagRun. At most one of them is set. If both are empty,
	// Kubernetes generates a name.
	Key, Name string
	// Source is the UID of the run to run again, or empty.
	Source string
	// Given are the parameters of the request, Inherited those of the run to run again.
	Given, Inherited []v1alpha1.ParameterValue
}

const (
	// keyBytes is how many bytes of the hash over DAG, user and key are in a name, keyChars how many characters they
	// take.
	keyBytes = 10
	keyChars = keyBytes * 8 / 5
	// generatedChars is how many characters Kubernetes appends to generateName.
	generatedChars = 5
)

// name returns the name of the DagRun, or "" if Kubernetes generates the name. A name derived from a key fits into a
// label value.
func (r *Request) name() string {
	if r.Key == "" {
		return r.Name
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{r.DAG, strconv.FormatInt(r.UserID, 10), r.Key}, "\x00")))
	return r.prefix(keyChars) + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:keyBytes]))
}

// prefix returns the name of the DAG and a hyphen, so short that chars characters can follow in a label value.
func (r *Request) prefix(chars int) string {
	longest := validation.DNS1123LabelMaxLength - chars - len("-")
	return strings.TrimRight(r.DAG[:min(len(r.DAG), longest)], "-.") + "-"
}

// hash returns a hash of the source and the given parameters. Requests with the same key must have the same hash.
func (r *Request) hash() (string, error) {
	text, err := json.Marshal(struct {
		Source string
		Given  []v1alpha1.ParameterValue
	}{r.Source, r.Given})
	if err != nil {
		return "", fmt.Errorf("encoding a request for a run: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// merged returns the given parameters, and then the inherited ones that are not given.
func (r *Request) merged() []v1alpha1.ParameterValue {
	all := slices.Clone(r.Given)
	for _, inherited := range r.Inherited {
		isSame := func(p v1alpha1.ParameterValue) bool { return p.Name == inherited.Name }
		if !slices.ContainsFunc(r.Given, isSame) {
			all = append(all, inherited)
		}
	}
	return all
}

// newRun returns the DagRun to create for a request.
func (r *Request) newRun(d *v1alpha1.DAG, overrides []v1alpha1.ParameterValue, hash string) *v1alpha1.DagRun {
	isController := true
	run := &v1alpha1.DagRun{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: r.name(), Labels: map[string]string{},
			Annotations: map[string]string{
				v1alpha1.AnnotationDAG: d.Name, v1alpha1.AnnotationRequestedBy: r.User,
				v1alpha1.AnnotationRequest: hash,
			},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "DAG",
				Name: d.Name, UID: d.UID, Controller: &isController,
			}},
		},
		Spec: v1alpha1.DagRunSpec{DagName: d.Name, Parameters: overrides},
	}
	if run.Name == "" {
		run.GenerateName = r.prefix(generatedChars)
	}
	if len(d.Name) <= validation.DNS1123LabelMaxLength {
		run.Labels[v1alpha1.LabelDAG] = d.Name
	}
	return run
}
