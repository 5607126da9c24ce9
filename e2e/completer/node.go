package completer

import (
	"context"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// beat is the time between two renewals of the node's Lease. Without renewals the node would become NotReady.
const beat = 3 * time.Second

// nodeLabels returns the labels of the node.
func nodeLabels(name string) map[string]string {
	return map[string]string{corev1.LabelHostname: name, corev1.LabelOSStable: "linux"}
}

// startNode creates the node and keeps it Ready.
func (c *Completer) startNode(ctx context.Context) error {
	nodes := c.client.CoreV1().Nodes()
	_, err := nodes.Create(ctx, &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: c.Node, Labels: nodeLabels(c.Node)},
	}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making node %s: %w", c.Node, err)
	}
	now := metav1.Now().UTC().Format(time.RFC3339)
	ready := fmt.Sprintf(`{"status":{"conditions":[{"type":"Ready","status":"True","reason":"KubeletReady",`+
		`"lastHeartbeatTime":%q,"lastTransitionTime":%q}]}}`, now, now)
	_, err = nodes.Patch(ctx, c.Node, types.StrategicMergePatchType, []byte(ready), metav1.PatchOptions{}, "status")
	if err != nil {
		return fmt.Errorf("reporting node %s: %w", c.Node, err)
	}
	lease, err := renew(ctx, c.client, c.Node, nil)
	if err != nil {
		return err
	}
	c.work.Go(func() {
		ticker := time.NewTicker(beat)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			renewed, err := renew(ctx, c.client, c.Node, lease)
			if err != nil {
				if ctx.Err() == nil && c.Failed != nil {
					c.Failed(err)
				}
				lease = nil
				continue
			}
			lease = renewed
		}
	})
	return nil
}

// renew renews the Lease of a node. If lease is nil, it reads or creates it.
func renew(
	ctx context.Context, client kubernetes.Interface, node string, lease *coordinationv1.Lease,
) (*coordinationv1.Lease, error) {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, seconds := metav1.NowMicro(), int32(40)
	if lease == nil {
		made, err := leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: node},
			Spec: coordinationv1.LeaseSpec{
				HolderIdentity: &node, LeaseDurationSeconds: &seconds, RenewTime: &now,
			},
		}, metav1.CreateOptions{})
		if err == nil {
			return made, nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return nil, fmt.Errorf("making the Lease of node %s: %w", node, err)
		}
		if lease, err = leases.Get(ctx, node, metav1.GetOptions{}); err != nil {
			return nil, fmt.Errorf("reading the Lease of node %s: %w", node, err)
		}
	}
	next := lease.DeepCopy()
	next.Spec.RenewTime = &now
	renewed, err := leases.Update(ctx, next, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("renewing the Lease of node %s: %w", node, err)
	}
	return renewed, nil
}
