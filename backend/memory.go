package backend

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// A Memory is the amount of memory that a process may still take.
type Memory struct {
	Bytes int64 `json:"bytes"`
	// "MemAvailable", or the cgroup's limit where that is lower
	Source string `json:"source"`
}

// AvailableMemory returns how much of the host's memory a new process may take: MemAvailable, or
// what the limits of this process's control groups (versions 1 and 2) leave if that is less. It
// ignores memory of the device itself. It returns an error if the system does not report its
// memory.
func AvailableMemory() (Memory, error) { return availableMemory("/") }

// HasMemory reports whether work on the device may take that many more bytes of the host's memory,
// and returns how much is available. Before it answers no, it releases the memory kept for later
// executions. It answers yes if the system does not report its memory, and for a device with memory
// of its own, whose plug-in reports exhausted memory as an error.
func (d *Device) HasMemory(bytes int64) (available Memory, enough bool) {
	if d.kind == KindCUDA {
		return available, true
	}
	look := d.available
	if look == nil {
		look = AvailableMemory
	}
	available, err := look()
	if err != nil || available.Bytes >= bytes {
		return available, true
	}
	Release()
	Trim()
	debug.FreeOSMemory()
	if available, err = look(); err != nil {
		return available, true
	}
	return available, available.Bytes >= bytes
}

// SetAvailable makes [Device.HasMemory] call look in place of [AvailableMemory], for tests.
func (d *Device) SetAvailable(look func() (Memory, error)) { d.available = look }

// availableMemory reads the files below root.
func availableMemory(root string) (Memory, error) {
	meminfo, err := os.ReadFile(filepath.Join(root, "proc/meminfo"))
	if err != nil {
		return Memory{}, fmt.Errorf("backend: this system does not report how much memory is "+
			"available: %w", err)
	}
	available, ok := field(meminfo, "MemAvailable:")
	if !ok {
		return Memory{},
			fmt.Errorf("backend: %s names no MemAvailable: this system does not report how much "+
				"memory is available", filepath.Join(root, "proc/meminfo"))
	}
	memory := Memory{available * 1024, "MemAvailable"} // meminfo counts in kB
	groups, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return memory, nil // a system without control groups
	}
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		mount, files := "sys/fs/cgroup", cgroup2
		switch {
		case parts[0] == "0" && parts[1] == "":
		case strings.Contains(","+parts[1]+",", ",memory,"):
			mount, files = "sys/fs/cgroup/memory", cgroup1
		default:
			continue
		}
		// The limit of a parent group applies too. In a container the group's path may be the
		// host's, which does not exist here.
		for path := filepath.Join("/", parts[2]); ; path = filepath.Dir(path) {
			if left, ok := files.left(filepath.Join(root, mount, path)); ok && left < memory.Bytes {
				memory = Memory{left, "cgroup " + path}
			}
			if path == "/" {
				break
			}
		}
	}
	return memory, nil
}

// cgroupFiles names a version's files, and the field for cached files in memory.stat.
type cgroupFiles struct{ limit, used, cache string }

var (
	cgroup1 = cgroupFiles{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"}
	cgroup2 = cgroupFiles{"memory.max", "memory.current", "inactive_file"}
)

// left returns how many bytes the control group in dir may still use. Cached files count as free.
// It returns false where there is no such group, or the group has no limit.
func (f cgroupFiles) left(dir string) (int64, bool) {
	number := func(name string) (int64, bool) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return 0, false
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(data)), 10, 64)
		return n, err == nil
	}
	limit, ok := number(f.limit)
	used, known := number(f.used)
	if !ok || !known || limit > math.MaxInt64/2 { // "max" in version 2, a huge number in version 1
		return 0, false
	}
	var cache int64
	if stat, err := os.ReadFile(filepath.Join(dir, "memory.stat")); err == nil {
		cache, _ = field(stat, f.cache)
	}
	return max(0, limit-used+cache), true
}

// field returns the number that follows a name at the beginning of a line.
func field(data []byte, name string) (int64, bool) {
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == name {
			n, err := strconv.ParseInt(words[1], 10, 64)
			return n, err == nil
		}
	}
	return 0, false
}

// OutOfMemory reports whether an error says that a device has no memory left. XLA's errors are text
// only.
func OutOfMemory(err error) bool {
	if err == nil {
		return false
	}
	for _, text := range []string{"RESOURCE_EXHAUSTED", "Resource exhausted", "Out of memory",
		"CUDA_ERROR_OUT_OF_MEMORY"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
