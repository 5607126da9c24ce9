package harness

import (
	"os/exec"
	"syscall"
)

// EndWithParent makes the kernel end a process when this one is gone.
func EndWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
