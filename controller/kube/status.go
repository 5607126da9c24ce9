package kube

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Patcher patches the objects of a kind in one namespace. Typed clients implement it.
type Patcher[T metav1.Object] interface {
	Patch(context.Context, string, types.PatchType, []byte, metav1.PatchOptions, ...string) (T, error)
}

// PatchStatus merges fields into the status of an object, and returns the object as the API server answers. If the
// object has changed since it was read, or another one has its name, the error is a conflict.
func PatchStatus[T metav1.Object](ctx context.Context, client Patcher[T], object T, fields any) (patched T, err error) {
	// The API server ignores the UID in a merge patch of a status. The resourceVersion identifies the object, too.
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"resourceVersion": object.GetResourceVersion()}, "status": fields,
	})
	if err != nil {
		return patched, fmt.Errorf("encoding a status: %w", err)
	}
	return client.Patch(ctx, object.GetName(), types.MergePatchType, body, metav1.PatchOptions{}, "status")
}
