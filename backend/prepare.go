package backend

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
)

const (
	tunablesEnv = "GLIBC_TUNABLES"
	noReexecEnv = "HAF_NO_REEXEC" // "1" turns the re-execution off
	// preparedEnv marks the re-executed process: "<its pid>:<GLIBC_TUNABLES as the user had it>".
	preparedEnv = "HAF_PREPARED"
)

// The settings that XLA on a CPU wants of glibc's malloc. XLA takes one large temporary arena an execution and
// gives it back; by default the kernel then zeroes the same pages again at every step, which costs up to 40 % of
// the time. The former environment variable of a setting, where the user has set it, is left its say.
var tunables = []struct{ name, value, formerly string }{
	{"glibc.malloc.hugetlb", "1", ""},                                        // transparent huge pages, by madvise
	{"glibc.malloc.mmap_max", "0", "MALLOC_MMAP_MAX_"},                       // large blocks from the heap: an mmap is unmapped when freed
	{"glibc.malloc.trim_threshold", "68719476736", "MALLOC_TRIM_THRESHOLD_"}, // 64 GiB: the heap's free top is kept
	{"glibc.malloc.arena_max", "1", "MALLOC_ARENA_MAX"},                      // one heap, so that what one thread frees serves the next
}

// prepared tells that main calls Prepare: only then can a child of this program be asked to try out a plug-in.
var prepared bool

var prepareOnce = sync.OnceValue(prepare)

// Prepare gives the C library's allocator the settings that XLA needs on a CPU, which it reads only when a
// process starts: so the program executes itself again, once, under the same pid and with the
// same arguments. Call it first in main, before anything is opened or started.
//
// It does so on linux with the GNU C library, where an XLA plug-in is installed and the settings are not already
// made; else it does nothing. HAF_NO_REEXEC=1 turns it off. The user's own entries in GLIBC_TUNABLES win, and what
// the program starts later sees GLIBC_TUNABLES as the user had it. An error means that the program could not
// execute itself; it may go on without the settings, only slower.
func Prepare() error { return prepareOnce() }

func prepare() error {
	prepared = true
	if path := os.Getenv(tryEnv); path != "" {
		os.Exit(tryHere(path)) // this process is the child of works: it must not reach the program's own main
	}
	pid := strconv.Itoa(os.Getpid())
	if marked, before, ok := strings.Cut(os.Getenv(preparedEnv), ":"); ok && marked == pid {
		// The pid survives an exec and no child has it, so this is the second round: never a third.
		if before == "" {
			return os.Unsetenv(tunablesEnv)
		}
		return os.Setenv(tunablesEnv, before)
	}
	if os.Getenv(noReexecEnv) == "1" || !xlaSupported || glibc() == "" {
		return nil
	}
	before := os.Getenv(tunablesEnv)
	wanted := withTunables(before, os.Getenv)
	if wanted == before {
		return nil
	}
	if plugins, err := Find(""); err != nil || len(plugins) == 0 {
		return nil // pure Go does not allocate there; an unreadable folder is told by Open
	}
	program, ok := ownProgram()
	if !ok {
		return nil
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, tunablesEnv+"=") || strings.HasPrefix(e, preparedEnv+"=")
	})
	env = append(env, tunablesEnv+"="+wanted, preparedEnv+"="+pid+":"+before)
	if err := reexec(program, env); err != nil {
		return fmt.Errorf("backend: execute %s again with the memory settings: %w: set %s=1 to go without", program, err, noReexecEnv)
	}
	return nil
}

// withTunables adds to a value of GLIBC_TUNABLES the settings that neither it nor the environment makes already.
func withTunables(value string, getenv func(string) string) string {
	entries := strings.Split(value, ":")
	if value == "" {
		entries = nil
	}
	for _, t := range tunables {
		theirs := slices.ContainsFunc(entries, func(e string) bool { return strings.HasPrefix(e, t.name+"=") })
		if !theirs && (t.formerly == "" || getenv(t.formerly) == "") {
			entries = append(entries, t.name+"="+t.value)
		}
	}
	return strings.Join(entries, ":")
}

// ownProgram is the path of this program's file. It is not known for certain where /proc is missing, where the
// file was replaced or removed since the start, and where the dynamic loader was started by name with the program
// as its argument (then /proc shows the loader, which would take the first argument for a program).
func ownProgram() (string, bool) {
	path, err := os.Executable()
	if err != nil {
		return "", false
	}
	name := filepath.Base(path)
	if strings.HasPrefix(name, "ld-") || strings.HasPrefix(name, "ld.so") {
		return "", false
	}
	there, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if runtime.GOOS == "linux" {
		running, err := os.Stat("/proc/self/exe")
		if err != nil || !os.SameFile(there, running) {
			return "", false
		}
	}
	return path, true
}
