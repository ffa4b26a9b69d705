//go:build cgo && ((linux && (amd64 || arm64)) || (darwin && arm64))

package backend

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// logLevelEnv is XLA's variable. A user who sets it to 0, 1 or 2 wants to see XLA's log.
const logLevelEnv = "TF_CPP_MIN_LOG_LEVEL"

var silence sync.Mutex

// silenced runs f with the process's standard error discarded, because a CUDA plug-in writes there
// at any log level before its log is set up. The descriptor belongs to the whole process, so output
// of other goroutines is lost too; keep f short.
func silenced(f func()) {
	if level := os.Getenv(logLevelEnv); level != "" && level < "3" {
		f()
		return
	}
	silence.Lock()
	defer silence.Unlock()
	saved, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil { // standard error is closed already
		f()
		return
	}
	defer unix.Close(saved)
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		f()
		return
	}
	defer null.Close()
	if err := unix.Dup2(int(null.Fd()), 2); err != nil {
		f()
		return
	}
	defer unix.Dup2(saved, 2)
	f()
}
