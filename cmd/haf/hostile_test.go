package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"haf/recipe"
)

// A hostileCase is a command line that haf must refuse.
type hostileCase struct {
	name string
	args []string
	code int
	want string // regular expression that standard error matches
}

// hostile is a folder with a model, data and recipes, in which command lines run in this process.
type hostile struct {
	t      *testing.T
	before map[string]string // the folder's listing
	cases  int
	leaves string // what a command may leave, which is removed
	most   uint64 // bytes of heap that a bomb took
}

// Bounds of one refusal. They are far above what a refusal takes, and far below what the declared
// sizes of the broken files ask for.
const (
	hostileBytes = 2 << 30
	hostileTime  = time.Minute
)

// newHostile makes the folder the working directory until the test ends.
func newHostile(t *testing.T) *hostile {
	if os.Getenv("HAF_HOSTILE") != "" {
		t.Fatal("a command that was to be refused has started this program anew")
	}
	t.Setenv("HAF_HOSTILE", "1")
	rl, grid := section(t, "rlhf", "rl.toml"), section(t, "paper", "grid.toml")
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("HAF_DEVICE", "go")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	t.Setenv("HF_HUB_OFFLINE", "1")
	if _, err := recipe.WriteDemo(dir, 1); err != nil {
		t.Fatal(err)
	}
	h := &hostile{t: t}
	h.write("tiny.toml", []byte(tinyRecipe))
	h.write("rl.toml", []byte(rl))
	h.write("grid.toml", []byte(grid))
	h.write("other.jsonl", []byte(`{"prompt": "what does the owl eat", "response": "fish"}`+"\n"))
	h.write("samples.jsonl", []byte(`{"prompt": "what does the owl eat", "response": "mice"}`+"\n"))
	h.write("pair.jsonl", []byte(`{"prompt": "what does the owl eat", "chosen": "mice", `+
		`"rejected": "rain"}`+"\n"))
	h.settle()
	t.Cleanup(func() { t.Logf("%d cases", h.cases) })
	return h
}

func (h *hostile) write(name string, data []byte) {
	h.t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// settle notes what is in the folder.
func (h *hostile) settle() { h.before = h.listing() }

// listing has the size and time of every file but those of caches.
func (h *hostile) listing() map[string]string {
	h.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "cache" || path == "hf" {
			if err == nil && d.IsDir() {
				return fs.SkipDir
			}
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		out[path] = "folder"
		if !d.IsDir() {
			out[path] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// unexplained matches what no message to a user may have: a panic, and names or values of Go's.
var unexplained = regexp.MustCompile(`panic|goroutine|runtime error|interface conversion|%!|` +
	`reflect\.|0x[0-9a-f]{6}|\*[a-z]+\.[A-Z]|map\[|<nil>|\bnil\b|strconv\.|\[\]uint8`)

// refuses runs a command line, which must end with the code and a message that explains it, leave
// nothing behind, and take a bounded time and memory.
func (h *hostile) refuses(c hostileCase) {
	h.t.Helper()
	h.run(c, false)
}

// ends is refuses for a command line that may also succeed.
func (h *hostile) ends(c hostileCase) {
	h.t.Helper()
	h.run(c, true)
}

func (h *hostile) run(c hostileCase, mayWork bool) {
	h.t.Helper()
	h.cases++
	var stdout, stderr bytes.Buffer
	var begin, end runtime.MemStats
	runtime.ReadMemStats(&begin)
	ended := make(chan int, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				stack := make([]byte, 4000)
				fmt.Fprintf(&stderr, "panic: %v\n%s", p, stack[:runtime.Stack(stack, false)])
				ended <- -1
			}
		}()
		ended <- execute(c.args, &stdout, &stderr)
	}()
	var code int
	select {
	case code = <-ended:
	case <-time.After(hostileTime):
		h.t.Fatalf("%s: %s does not end", c.name, strings.Join(c.args, " "))
	}
	runtime.ReadMemStats(&end)
	said := stderr.String()
	bad := func(format string, args ...any) {
		h.t.Helper()
		h.t.Errorf("%s: haf %s: %s\n%.1500s", c.name, strings.Join(c.args, " "),
			fmt.Sprintf(format, args...), said)
	}
	last := said[strings.LastIndexByte(strings.TrimRight(said, "\n"), '\n')+1:]
	switch {
	case code == exitDone && mayWork:
	case code != c.code:
		bad("exit code %d, want %d", code, c.code)
	case !strings.HasPrefix(last, "haf: "):
		bad("the last line is no message of haf")
	case !regexp.MustCompile(c.want).MatchString(said):
		bad("does not say %s", c.want)
	case unexplained.MatchString(said):
		bad("says %q", unexplained.FindString(said))
	case checkSaid(c.args, said) != nil:
		bad("%v", checkSaid(c.args, said))
	case len(said) > 3000:
		bad("%d bytes of message", len(said))
	}
	if took := end.TotalAlloc - begin.TotalAlloc; took > hostileBytes {
		bad("%d MB were allocated", took>>20)
	}
	h.untouched(bad)
}

// untouched wants the folder as it was.
func (h *hostile) untouched(bad func(format string, args ...any)) {
	h.t.Helper()
	if h.leaves != "" {
		if err := os.RemoveAll(h.leaves); err != nil {
			h.t.Fatal(err)
		}
	}
	now := h.listing()
	if maps.Equal(now, h.before) {
		return
	}
	for _, path := range slices.Sorted(maps.Keys(now)) {
		switch was := h.before[path]; was {
		case now[path]:
		case "":
			bad("left %s", path)
			if err := os.RemoveAll(path); err != nil {
				h.t.Fatal(err)
			}
		default:
			bad("changed %s", path)
		}
	}
	for path := range h.before {
		if now[path] == "" {
			bad("removed %s", path)
		}
	}
	h.settle()
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
