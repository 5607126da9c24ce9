package harness

import (
	"os/exec"
	"syscall"
)

// EndWithParent makes the kernel kill a process when this one ends.
func EndWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
