package install

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"kontroler/apis/kontroler/v1alpha1"
	"kontroler/controller/kube"
)

// UninstallConfig selects the Pods whose finalizer Uninstall removes.
type UninstallConfig struct {
	Kube kubernetes.Interface
	// ID of the controller. Empty means all controllers.
	ID string
	// Namespaces of the Pods. Empty means all.
	Namespaces []string
	// LeaseNamespace is the namespace of the controllers' Leases. Empty means that they may be in any.
	LeaseNamespace string
	Log            *slog.Logger
}

// selector is the label selector of the controller's Leases and Pods.
func (cfg *UninstallConfig) selector() string {
	if cfg.ID == "" {
		return v1alpha1.LabelController
	}
	return v1alpha1.LabelController + "=" + cfg.ID
}

// Uninstall removes the finalizer from the Pods of a controller that has stopped, so that they can be deleted. It
// returns how many Pods it changed. It is an error if a controller still holds its Lease; then no Pod is changed. If a
// Pod cannot be changed, Uninstall logs it and continues. The error then says how many such Pods there are.
//
// Repeating Uninstall is harmless.
func Uninstall(ctx context.Context, cfg UninstallConfig) (changed int, err error) {
	if err := checkStopped(ctx, cfg); err != nil {
		return 0, err
	}
	namespaces := cfg.Namespaces
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	failed := 0
	for _, namespace := range namespaces {
		// The list is not paged: the continue token would expire while the Pods of a page are changed.
		pods, err := cfg.Kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: cfg.selector()})
		if err != nil {
			return changed, fmt.Errorf("listing the Pods with label %s: %w", cfg.selector(), err)
		}
		for i := range pods.Items {
			p := &pods.Items[i]
			hasChanged, err := kube.RemoveFinalizer(ctx, cfg.Kube, p)
			if hasChanged {
				changed++
			}
			if err != nil {
				failed++
				cfg.Log.Error("cannot remove the finalizer from a Pod",
					"namespace", p.Namespace, "pod", p.Name, "error", err)
			}
		}
	}
	if failed > 0 {
		return changed, fmt.Errorf("some Pods still have the finalizer (%d). The log names them", failed)
	}
	return changed, nil
}

// checkStopped returns an error if a controller holds its Lease, because it would add the finalizer to new Pods.
func checkStopped(ctx context.Context, cfg UninstallConfig) error {
	options := metav1.ListOptions{LabelSelector: cfg.selector()}
	leases, err := cfg.Kube.CoordinationV1().Leases(cfg.LeaseNamespace).List(ctx, options)
	if err != nil {
		where := "in all namespaces (--lease-namespace names one)"
		if cfg.LeaseNamespace != "" {
			where = "in namespace " + cfg.LeaseNamespace
		}
		return fmt.Errorf("listing the controllers' Leases %s: %w", where, err)
	}
	var held []string
	for _, lease := range leases.Items {
		if isHeld(&lease.Spec, time.Now()) {
			held = append(held, fmt.Sprintf("%s/%s by %s", lease.Namespace, lease.Name, *lease.Spec.HolderIdentity))
		}
	}
	if len(held) > 0 {
		return fmt.Errorf("a controller is still running (Lease held: %s). Stop it first", strings.Join(held, ", "))
	}
	return nil
}

// isHeld reports whether a Lease has a holder and has not expired.
func isHeld(l *coordinationv1.LeaseSpec, now time.Time) bool {
	if l.HolderIdentity == nil || *l.HolderIdentity == "" || l.RenewTime == nil || l.LeaseDurationSeconds == nil {
		return false
	}
	return now.Before(l.RenewTime.Add(time.Duration(*l.LeaseDurationSeconds) * time.Second))
}
