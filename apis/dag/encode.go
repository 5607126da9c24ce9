package dag

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"kontroler/apis/kontroler/v1alpha1"
)

// errNUL is the error for a spec that PostgreSQL cannot store.
var errNUL = errors.New("the spec contains a NUL character, which neither containers nor the database accept")

// Encode returns the canonical JSON of what a version of a DAG pins: the fields that a run uses. The schedule,
// suspended, and the history limits are not among them, so changing them makes no new version. The same spec gives the
// same bytes.
func Encode(spec *v1alpha1.DAGSpec) ([]byte, error) {
	if spec == nil {
		return nil, errors.New("encoding a DAG: no spec")
	}
	encoded, err := json.Marshal(v1alpha1.DAGSpec{
		Parameters:            spec.Parameters,
		Task:                  spec.Task,
		Webhook:               spec.Webhook,
		Workspace:             spec.Workspace,
		MaxParallel:           spec.MaxParallel,
		Logs:                  spec.Logs,
		ActiveDeadlineSeconds: spec.ActiveDeadlineSeconds,
	})
	if err != nil {
		return nil, fmt.Errorf("encoding a DAG: %w", err)
	}
	if containsNUL(encoded) {
		return nil, fmt.Errorf("encoding a DAG: %w", errNUL)
	}
	return encoded, nil
}

// Hash returns the SHA-256 of a result of Encode or EncodeTask. Specs with the same hash are the same version.
func Hash(encoded []byte) [32]byte {
	return sha256.Sum256(encoded)
}

// Decode returns the pinned part of the spec from a result of Encode.
func Decode(encoded []byte) (*v1alpha1.DAGSpec, error) {
	spec := &v1alpha1.DAGSpec{}
	if err := json.Unmarshal(encoded, spec); err != nil {
		return nil, fmt.Errorf("decoding a DAG: %w", err)
	}
	return spec, nil
}

// containsNUL reports whether a string in the JSON text contains a NUL, which is always written \u0000. In JSON every
// backslash begins an escape, so a pair of them escapes nothing that follows.
func containsNUL(encoded []byte) bool {
	return bytes.Contains(bytes.ReplaceAll(encoded, []byte(`\\`), nil), []byte(`\u0000`))
}
