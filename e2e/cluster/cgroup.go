package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupHierarchies returns the roots below which containers get cgroups: the
// one of version 2, or those of every controller of version 1.
func cgroupHierarchies() ([]string, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(cgroupMount, &stat); err != nil {
		return nil, fmt.Errorf("looking at %s: %w", cgroupMount, err)
	}
	if stat.Type == unix.CGROUP2_SUPER_MAGIC {
		return []string{cgroupMount}, nil
	}
	entries, err := os.ReadDir(cgroupMount)
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", cgroupMount, err)
	}
	var roots []string
	for _, e := range entries {
		root := filepath.Join(cgroupMount, e.Name())
		// Beside those of version 1 there may be one of version 2, without controllers.
		if err := unix.Statfs(root, &stat); err != nil || !e.IsDir() {
			continue
		}
		if stat.Type == unix.CGROUP_SUPER_MAGIC || stat.Type == unix.CGROUP2_SUPER_MAGIC {
			roots = append(roots, root)
		}
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("no cgroups are mounted below %s", cgroupMount)
	}
	return roots, nil
}

// makeCgroup makes a node's cgroup in every hierarchy, with what version 2
// needs to hand controllers down to it.
func makeCgroup(c *Cluster, n Node) error {
	roots, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.MkdirAll(filepath.Join(root, c.cgroup(n)), 0o755); err != nil {
			return fmt.Errorf("making the cgroup of node %s: %w", n.Name, err)
		}
	}
	if len(roots) > 1 || roots[0] != cgroupMount {
		return nil
	}
	for _, dir := range []string{cgroupMount, filepath.Dir(filepath.Join(cgroupMount, c.cgroup(n)))} {
		if err := delegateControllers(dir); err != nil {
			return err
		}
	}
	return nil
}

// delegateControllers hands every controller of a version 2 cgroup down to the
// cgroups in it.
func delegateControllers(dir string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the controllers of %s: %w", dir, err)
	}
	for _, controller := range strings.Fields(string(controllers)) {
		file := filepath.Join(dir, "cgroup.subtree_control")
		if err := os.WriteFile(file, []byte("+"+controller), 0o644); err != nil {
			return fmt.Errorf("handing controller %s down from %s: %w", controller, dir, err)
		}
	}
	return nil
}

// removeCgroup removes a cgroup and those in it from every hierarchy. The
// processes that were in them have ended, though the kernel may still be
// taking note of it.
func removeCgroup(ctx context.Context, cgroup string) error {
	roots, err := cgroupHierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		dir := filepath.Join(root, cgroup)
		if err := poll(ctx, func() (bool, error) { return removeCgroupDirs(dir) }); err != nil {
			return fmt.Errorf("removing cgroup %s: %w", dir, err)
		}
	}
	return nil
}

// removeCgroupDirs tries once; it returns false for a cgroup still in use.
func removeCgroupDirs(dir string) (bool, error) {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		err := unix.Rmdir(dirs[i])
		if errors.Is(err, unix.EBUSY) {
			return false, nil
		}
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return false, err
		}
	}
	return true, nil
}
