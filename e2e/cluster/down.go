package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// downTimeout bounds the wait for processes to end and cgroups to empty.
const downTimeout = 30 * time.Second

// downCommand ends the cluster of a directory; without one it does nothing.
func downCommand(ctx context.Context, args []string) error {
	dir, _, err := dirArgs(args, 0)
	if err != nil {
		return err
	}
	return down(ctx, dir)
}

func down(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout+downTimeout)
	defer cancel()
	unlock, err := lockDir(ctx, dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unlock()
	c, err := load(dir)
	if errors.Is(err, errNoCluster) {
		return nil
	}
	if err != nil {
		return err
	}
	return removeCluster(ctx, c)
}

// removeCluster ends every process of a cluster, then removes what they leave.
// cluster.json goes last: until then down can be run again.
func removeCluster(ctx context.Context, c *Cluster) error {
	parts, err := c.recorded()
	if err != nil {
		return err
	}
	self, err := findProcess("self")
	if err != nil {
		return err
	}
	for part, p := range parts {
		if p == self {
			continue
		}
		if err := stopMachine(ctx, c, part); err != nil {
			return err
		}
	}
	errs := []error{disconnect(c)}
	if !c.Bare {
		errs = append(errs, removeCgroup(ctx, filepath.Join("/", c.id())))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return removeFiles(c)
}

// removeFailed removes what an up that failed has made. Without a cluster.json
// it had made nothing but files, and what bears the cluster's name is another's.
func removeFailed(ctx context.Context, c *Cluster) error {
	if _, err := os.Stat(c.path("cluster.json")); errors.Is(err, os.ErrNotExist) {
		return removeFiles(c)
	}
	return removeCluster(ctx, c)
}

// removeOrphan makes way for a cluster whose directory was removed while it
// ran: its machines have ended themselves, see supervisor.watchDir, and the
// rest is removed here. A cluster of the same name in another directory stays.
func removeOrphan(ctx context.Context, c *Cluster) error {
	owner, err := networkOwner(c)
	if err != nil || owner == "" {
		return err
	}
	if owner != c.networkAlias() {
		return fmt.Errorf("there is a cluster called %s already (%s): choose another --name", c.Name, owner)
	}
	ctx, cancel := context.WithTimeout(ctx, downTimeout)
	defer cancel()
	if err := disconnect(c); err != nil {
		return err
	}
	return removeCgroup(ctx, filepath.Join("/", c.id()))
}

// removeFiles removes all that up puts in the cluster's directory but logs.
func removeFiles(c *Cluster) error {
	for _, made := range []string{"bin", "etcd", "nodes", "pki", "run", "volumes", "kubeconfig", "cluster.json"} {
		if err := os.RemoveAll(c.path(made)); err != nil {
			return fmt.Errorf("removing %s: %w", c.path(made), err)
		}
	}
	return nil
}
