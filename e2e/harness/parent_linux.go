package e2e_test

import (
	"os/exec"
	"syscall"
)

// endWithParent makes the kernel end a process when this one is gone.
func endWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
