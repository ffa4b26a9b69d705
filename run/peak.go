package run

import (
	"runtime"
	"syscall"
)

// PeakMemory is the most resident memory that this process has had, in bytes; 0 where the system
// does not say.
func PeakMemory() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return int64(usage.Maxrss)
	}
	return int64(usage.Maxrss) * 1024 // Linux counts in KiB
}
