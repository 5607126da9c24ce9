package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// nodeReady says whether a node is ready and has been heard of since a time:
// the condition of a node that was lost is out of date.
func nodeReady(ctx context.Context, client kubernetes.Interface, n Node, since time.Time) bool {
	lease, err := client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil || lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Before(&metav1.MicroTime{Time: since}) {
		return false
	}
	node, err := client.CoreV1().Nodes().Get(ctx, n.Name, metav1.GetOptions{})
	if err != nil {
		return false
	}
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectNoSchedule {
			return false
		}
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue &&
				!condition.LastHeartbeatTime.Add(time.Second).Before(since)
		}
	}
	return false
}

// lockedCluster loads the cluster that a command's arguments name, with the
// lock held, and a node's name.
func lockedCluster(ctx context.Context, args []string) (c *Cluster, node string, unlock func(), err error) {
	dir, rest, err := dirArgs(args, 1)
	if err != nil {
		return nil, "", nil, err
	}
	if unlock, err = lockDir(ctx, dir); err != nil {
		return nil, "", nil, err
	}
	if c, err = load(dir); err != nil {
		unlock()
		return nil, "", nil, err
	}
	return c, rest[0], unlock, nil
}

func nodeAddCommand(ctx context.Context, args []string) error {
	c, name, unlock, err := lockedCluster(ctx, args)
	if err != nil {
		return err
	}
	defer unlock()
	if c.Bare {
		return errors.New("this cluster was started with --no-node: it has no scheduler, and takes no nodes")
	}
	started := time.Now()
	n, err := c.addNode(name)
	if err != nil {
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	if err := connectNode(c, n.Index); err != nil {
		return err
	}
	if err := startNode(ctx, c, n); err != nil {
		return err
	}
	if err := waitReady(ctx, c, n); err != nil {
		return err
	}
	fmt.Printf("node %s is ready after %.1fs\n", n.Name, time.Since(started).Seconds())
	return nil
}

func nodeStopCommand(ctx context.Context, args []string) error {
	c, name, unlock, err := lockedCluster(ctx, args)
	if err != nil {
		return err
	}
	defer unlock()
	n, err := c.node(name)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	if err := stopMachine(ctx, c, n.machine()); err != nil {
		return err
	}
	if err := removeCgroup(ctx, c.cgroup(n)); err != nil {
		return err
	}
	fmt.Printf("node %s is stopped\n", n.Name)
	return nil
}

func nodeStartCommand(ctx context.Context, args []string) error {
	c, name, unlock, err := lockedCluster(ctx, args)
	if err != nil {
		return err
	}
	defer unlock()
	n, err := c.node(name)
	if err != nil {
		return err
	}
	parts, err := c.recorded()
	if err != nil {
		return err
	}
	if parts[n.machine()].alive() {
		return fmt.Errorf("node %s runs already", n.Name)
	}
	started := time.Now()
	if err := startNode(ctx, c, n); err != nil {
		return err
	}
	if err := waitReady(ctx, c, n); err != nil {
		return err
	}
	fmt.Printf("node %s is ready after %.1fs\n", n.Name, time.Since(started).Seconds())
	return nil
}
