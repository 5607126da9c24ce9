package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelSettings are what the kubelet wants of the kernel, and would set for
// the whole host. The machine shows it files that say so instead.
var kernelSettings = map[string]string{
	"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10",
	"kernel/panic_on_oops": "1", "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
}

// privateMounts gives the calling machine file systems of its own: an empty
// /run, a /var whose changes stay in memory, and a /proc that shows its own
// processes. They go with its last process. Directories in keep stay visible
// where they are.
func privateMounts(keep ...string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("separating mounts from the host's: %w", err)
	}
	kept := map[string]*os.File{}
	for _, dir := range keep {
		f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", dir, err)
		}
		defer f.Close()
		kept[dir] = f
	}
	if err := unmountBelow("/run/"); err != nil {
		return err
	}
	if err := unmountBelow("/sys/fs/cgroup/unified"); err != nil {
		return err // beside hierarchies of version 1; crun refuses to work with both
	}
	if err := coverHostDirs(); err != nil {
		return err
	}
	for dir, f := range kept {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("keeping %s: %w", dir, err)
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), dir, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("keeping %s: %w", dir, err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := coverKernelSettings(); err != nil {
		return err
	}
	// The kubelet hands mounts on to containers only below shared ones.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing mounts within the machine: %w", err)
	}
	return nil
}

// unmountBelow drops this machine's copies of the host's mounts below a
// directory, which would otherwise keep what the host unmounts alive.
func unmountBelow(prefix string) error {
	f, err := os.Open("/proc/self/mounts")
	if err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && strings.HasPrefix(fields[1], prefix) {
			if err := unix.Unmount(fields[1], unix.MNT_DETACH); err != nil && err != unix.EINVAL {
				return fmt.Errorf("unmounting %s: %w", fields[1], err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("listing mounts: %w", err)
	}
	return nil
}

func coverHostDirs() error {
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mounting /run: %w", err)
	}
	for _, dir := range []string{"/run/var/upper", "/run/var/work", "/run/lock", "/run/settings"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("preparing /run: %w", err)
		}
	}
	if err := unix.Mount("overlay", "/var", "overlay", 0,
		"lowerdir=/var,upperdir=/run/var/upper,workdir=/run/var/work"); err != nil {
		return fmt.Errorf("mounting /var: %w", err)
	}
	return nil
}

func coverKernelSettings() error {
	for setting, value := range kernelSettings {
		file := filepath.Join("/run/settings", strings.ReplaceAll(setting, "/", "."))
		if err := os.WriteFile(file, []byte(value+"\n"), 0o444); err != nil {
			return fmt.Errorf("covering kernel setting %s: %w", setting, err)
		}
		if err := unix.Mount(file, filepath.Join("/proc/sys", setting), "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("covering kernel setting %s: %w", setting, err)
		}
	}
	return nil
}

// bindDir mounts a directory, made if need be, at a path of the machine.
func bindDir(dir, at string) error {
	for _, d := range []string{dir, at} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return fmt.Errorf("mounting %s: %w", at, err)
		}
	}
	if err := unix.Mount(dir, at, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", at, err)
	}
	return nil
}
