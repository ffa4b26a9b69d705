package backend

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAvailableMemory(t *testing.T) {
	const meminfo = "MemTotal:       24000 kB\nMemFree:         1000 kB\nMemAvailable:   20000 kB\n"
	for name, test := range map[string]struct {
		files  map[string]string
		bytes  int64
		source string
	}{
		"no groups": {map[string]string{"proc/meminfo": meminfo}, 20000 * 1024, "MemAvailable"},
		"no limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n",
			"sys/fs/cgroup/a/memory.current": "5000\n",
		}, 20000 * 1024, "MemAvailable"},
		"version 2, the group above": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "0::/a/b\n",
			"sys/fs/cgroup/a/memory.max": "9000000\n", "sys/fs/cgroup/a/memory.current": "5000000\n",
			"sys/fs/cgroup/a/memory.stat":  "anon 4000000\ninactive_file 1000000\n",
			"sys/fs/cgroup/a/b/memory.max": "max\n", "sys/fs/cgroup/a/b/memory.current": "5000000\n",
		}, 5000000, "cgroup /a"},
		"version 1, seen from a container": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:cpu,memory:/docker/x\n1:cpu:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "6000000\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "7000000\n",
			"sys/fs/cgroup/memory/memory.stat":           "total_inactive_file 500000\n",
		}, 0, "cgroup /"},
		"version 1, no limit": {map[string]string{
			"proc/meminfo": meminfo, "proc/self/cgroup": "4:memory:/\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes": "7000000\n",
		}, 20000 * 1024, "MemAvailable"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			for path, data := range test.files {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(data), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := availableMemory(root)
			if err != nil || got.Bytes != test.bytes || got.Source != test.source {
				t.Errorf("%+v, %v; want %d of %s", got, err, test.bytes, test.source)
			}
		})
	}
	if _, err := availableMemory(t.TempDir()); err == nil ||
		!strings.Contains(err.Error(), "does not report how much memory is available") {
		t.Errorf("without meminfo: %v", err)
	}
}

// TestOutOfMemory knows XLA's errors of devices without memory left, however they are wrapped.
func TestOutOfMemory(t *testing.T) {
	for text, want := range map[string]bool{
		"RESOURCE_EXHAUSTED: Out of memory while trying to allocate 68719476736 bytes.":     true,
		"INTERNAL: Failed to load in-memory CUBIN: CUDA_ERROR_OUT_OF_MEMORY: out of memory": true,
		"INVALID_ARGUMENT: Executable expected parameter 0 of size 16 but got buffer":       false,
	} {
		if got := OutOfMemory(fmt.Errorf("train: step 3: %w", errors.New(text))); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
	if OutOfMemory(nil) {
		t.Error("no error is one")
	}
}
