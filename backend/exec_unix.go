//go:build unix

package backend

import (
	"os"
	"syscall"
)

// reexec replaces this process's program, keeping its pid, arguments and open standard streams.
func reexec(program string, env []string) error { return syscall.Exec(program, os.Args, env) }
