package controller

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
)

// UninstallConfig says whose finalizers are taken off, and where.
type UninstallConfig struct {
	Kube kubernetes.Interface
	// ID of the controller; empty: all controllers.
	ID string
	// Namespaces to look in; none: all.
	Namespaces []string
	// LeaseNamespace is where the controllers' Leases are: a controller that still runs is an error.
	LeaseNamespace string
	Log            *slog.Logger
}

// Uninstall takes the finalizer off the Pods of a controller that runs no more, so that nothing keeps them from being
// deleted. It goes on after a Pod that it cannot change; repeating it is harmless. It returns how many Pods it changed.
func Uninstall(ctx context.Context, cfg UninstallConfig) (int, error) {
	selector := v1alpha1.LabelController
	if cfg.ID != "" {
		selector += "=" + cfg.ID
	}
	if err := mustBeStopped(ctx, cfg, selector); err != nil {
		return 0, err
	}
	namespaces := cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	done, refused := 0, 0
	for _, namespace := range namespaces {
		options := metav1.ListOptions{LabelSelector: selector, Limit: 500}
		for {
			pods, err := cfg.Kube.CoreV1().Pods(namespace).List(ctx, options)
			if err != nil {
				return done, fmt.Errorf("listing the Pods of %s: %w", selector, err)
			}
			for i := range pods.Items {
				changed, err := releasePod(ctx, cfg.Kube, &pods.Items[i])
				switch {
				case err != nil:
					cfg.Log.Error("taking the finalizer off a Pod", "namespace", pods.Items[i].Namespace, "pod", pods.Items[i].Name, "error", err)
					refused++
				case changed:
					done++
				}
			}
			if options.Continue = pods.Continue; options.Continue == "" {
				break
			}
		}
	}
	if refused > 0 {
		return done, fmt.Errorf("%d Pods kept their finalizer; the log names each", refused)
	}
	return done, nil
}

// mustBeStopped refuses while a Lease of theirs is held: a running controller would put the finalizer on new Pods.
func mustBeStopped(ctx context.Context, cfg UninstallConfig, selector string) error {
	leases, err := cfg.Kube.CoordinationV1().Leases(cfg.LeaseNamespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return fmt.Errorf("listing the controllers' Leases in namespace %s: %w", cfg.LeaseNamespace, err)
	}
	var held []string
	for _, lease := range leases.Items {
		spec := lease.Spec
		if spec.HolderIdentity == nil || *spec.HolderIdentity == "" || spec.RenewTime == nil || spec.LeaseDurationSeconds == nil {
			continue
		}
		if time.Now().Before(spec.RenewTime.Add(time.Duration(*spec.LeaseDurationSeconds) * time.Second)) {
			held = append(held, fmt.Sprintf("%s by %s", lease.Name, *spec.HolderIdentity))
		}
	}
	if len(held) > 0 {
		return fmt.Errorf("a controller is still running (Lease held: %s): stop it first", strings.Join(held, ", "))
	}
	return nil
}

// releasePod takes our finalizer off, and no other. A Pod that is gone, or another one by now, is done with.
func releasePod(ctx context.Context, kube kubernetes.Interface, pod *corev1.Pod) (changed bool, err error) {
	if !slices.Contains(pod.Finalizers, v1alpha1.Finalizer) {
		return false, nil
	}
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":                                 pod.UID,
		"$deleteFromPrimitiveList/finalizers": []string{v1alpha1.Finalizer},
		// A Pod that stays on a node that is lost must not bind the others of its run to it.
		"labels": map[string]any{v1alpha1.LabelWorkspace: nil},
	}})
	if err != nil {
		return false, fmt.Errorf("encoding the patch: %w", err)
	}
	_, err = kube.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsConflict(err) {
		// Another Pod by now, or one that is being changed so fast that the patch never fitted.
		live, readErr := kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if readErr == nil && live.UID == pod.UID {
			return false, err
		}
		err = readErr
	}
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
