package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// loadAbs loads the cluster of a directory given in any form.
func loadAbs(dir string) (*Cluster, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding %s: %w", dir, err)
	}
	return load(abs)
}

// statusCommand prints what the cluster consists of and whether it runs.
func statusCommand(_ context.Context, args []string) error {
	dir, _, err := dirArgs(args, 0)
	if err != nil {
		return err
	}
	c, err := load(dir)
	if err != nil {
		return err
	}
	parts, err := c.recorded()
	if err != nil {
		return err
	}
	fmt.Printf(
		"cluster %s\n  API server %s\n  kubeconfig %s\n  services   %s\n",
		c.Name,
		c.apiURL(),
		c.kubeconfig(),
		c.serviceNet(),
	)
	machines := []string{controlMachine}
	for _, n := range c.Nodes {
		machines = append(machines, n.machine())
		fmt.Printf(
			"  %-10s %s, Pods %s, network namespace %s\n",
			n.Name,
			c.nodeIP(n.Index),
			c.nodePodNet(n.Index),
			c.netID(n.Index),
		)
	}
	var ended int
	for _, machine := range machines {
		state := "runs"
		if !parts[machine].alive() {
			state = "does not run"
			ended++
		}
		fmt.Printf("  machine %s %s\n", machine, state)
	}
	if ended > 0 {
		return fmt.Errorf("%d of %d machines do not run", ended, len(machines))
	}
	return nil
}
