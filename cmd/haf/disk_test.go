package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// printing are command lines that print results, at least one of each verb that does.
var printing = []string{
	"-help", "train -help", "recipes", "recipes hh-helpful", "version", "completion bash",
	"__complete tr", "data test.jsonl", "-json data test.jsonl", "inspect base", "doctor base",
	"init test.jsonl base -out new.toml", "explain run -prompt a -response b",
	"score run -prompt a -response b", "-json score run -prompt a -response b",
	"eval run -data test.jsonl -limit 20", "train tiny.toml -plan", "-quiet train tiny.toml -out new",
	"-json train tiny.toml -out new", "-quiet rlhf rl.toml -out new", "-json rlhf rl.toml -out new",
	"-json merge -average run gold -out new", "-json export -policy run -out new",
	"-json track run -to tensorboard", "-json report run -out new", "paper grid.toml -plan",
	"paper grid.toml -only main -out new", "combine run", "generate run -prompt a -max-tokens 4",
	"rank run -samples samples.jsonl -out new",
	"judge samples.jsonl other.jsonl -gold gold -out new",
	"-json relabel run -data test.jsonl -limit 9 -out new",
	"push run org/name -base org/base -dry-run",
	"-json generate run -prompts test.jsonl -limit 2 -max-tokens 4 -out new",
}

// silent are the verbs without a case in printing.
var silent = map[string]string{
	"serve": "prints an address, and no results", "ui": "prints an address, and no results",
	"demo":    "prints as eval does, after a minute of work",
	"compare": "prints as paper does, after a minute of work",
	"setup":   "would fetch a plug-in",
	"join":    "prints one line, as merge does",
	"bench":   "starts this program anew",
}

// TestDisks writes and reads where a real disk refuses it.
func TestDisks(t *testing.T) {
	long(t)
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	c.begin()
	t.Run("stdout", func(t *testing.T) { stdoutFull(t) })
	if os.Getuid() != 0 {
		t.Skip("only root can mount a disk, make a device and be another user")
	}
	t.Run("places", func(t *testing.T) { refusedPlaces(t, c.dir) })
	t.Run("full", func(t *testing.T) { fullDisk(t, c) })
}

// stdoutFull prints results to a disk without room: that is an error, in every verb.
func stdoutFull(t *testing.T) {
	tried := map[string]bool{}
	for _, line := range printing {
		for _, word := range strings.Fields(line) {
			tried[word] = true
		}
	}
	for _, verb := range verbs(t) {
		if tried[verb] == (silent[verb] != "") {
			t.Errorf("haf %s has no case here, and no reason to have none, or both", verb)
		}
	}
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no device that is full: ", err)
	}
	defer full.Close()
	for _, line := range printing {
		var stderr bytes.Buffer
		code := execute(strings.Fields(line), full, &stderr)
		if code != exitFailed || !strings.Contains(stderr.String(), "the disk of /dev/full is full") ||
			unexplained.Match(stderr.Bytes()) {
			t.Errorf("haf %s: exit code %d, %s", line, code, &stderr)
		}
		removeAll(t, "new")
	}
}

// writing are command lines that write to OUT, at least one of each verb that has the flag.
var writing = []string{
	"init test.jsonl base -out OUT", "train tiny.toml -out OUT", "rlhf rl.toml -out OUT",
	"eval run -data test.jsonl -limit 20 -out OUT", "merge -average run gold -out OUT",
	"export -policy run -out OUT", "report run -out OUT", "paper grid.toml -only main -out OUT",
	"paper grid.toml -only main -out new -results OUT", "compare demo demo -out OUT",
	"demo -out OUT", "generate run -prompts test.jsonl -limit 2 -max-tokens 4 -out OUT",
	"rank run -samples samples.jsonl -out OUT",
	"rank run -samples samples.jsonl -gold gold -out new -report OUT",
	"judge samples.jsonl other.jsonl -gold gold -out OUT",
	"relabel run -data test.jsonl -limit 9 -out OUT",
}

// reading are command lines that read the data or the model OUT.
var reading = []string{
	"data OUT", "eval OUT -data test.jsonl", "eval run -data OUT", "score OUT -prompt a -response b",
	"train tiny.toml -out new -set model.path=OUT", "train tiny.toml -out new -set data.train=OUT",
	"train OUT -out new", "train -resume OUT", "rlhf rl.toml -out new -set rlhf.rewards=OUT",
	"generate OUT -prompt a", "doctor OUT", "inspect OUT", "report OUT", "push OUT org/name -dry-run",
	"score run -prompt a -response b -template OUT",
}

// refusedPlaces writes onto a device, below a file, on a disk that can only be read and in a folder
// of another user, and reads there. That is an error that names the place, and changes nothing.
func refusedPlaces(t *testing.T, work string) {
	root := t.TempDir()
	device := filepath.Join(root, "full") // not that of the system, which a fault would replace
	if err := syscall.Mknod(device, syscall.S_IFCHR|0o666, 1<<8|7); err != nil {
		t.Skip("no devices here: ", err)
	}
	readOnly, closed := filepath.Join(root, "readonly"), filepath.Join(root, "closed")
	mount(t, readOnly, syscall.MS_RDONLY)
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	for dir := range parents(root, work) { // the other user comes to the folders
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, place := range []struct {
		path, want string
		as         int // user
		lines      []string
	}{
		{device, "full exists|is a file, want a folder|full: file exists", 0, writing},
		{filepath.Join("tiny.toml", "x"), "is a file, want a folder", 0, writing},
		{filepath.Join(readOnly, "x"), "is on a disk that can only be read", 0, writing},
		{filepath.Join(closed, "x"), "this user may not use .*(closed|new)", 65534, writing},
		{filepath.Join(closed, "x"), "this user may not use .*closed", 65534, reading},
	} {
		for _, line := range place.lines {
			args := strings.Fields(strings.ReplaceAll(line, "OUT", place.path))
			var stdout, stderr bytes.Buffer
			become(t, place.as)
			code := execute(args, &stdout, &stderr)
			become(t, 0)
			if (code != exitFailed && code != exitUsage) || unexplained.Match(stderr.Bytes()) ||
				!regexp.MustCompile(place.want).Match(stderr.Bytes()) {
				t.Errorf("haf %s: exit code %d, want %s\n%s", strings.Join(args, " "), code, place.want,
					&stderr)
			}
			if info, err := os.Lstat(device); err != nil || info.Mode()&fs.ModeCharDevice == 0 {
				t.Fatalf("haf %s replaced the device: %v, %v", line, info, err)
			}
			removeAll(t, "new")
		}
	}
}

// become makes the process act as a user.
func become(t *testing.T, user int) {
	t.Helper()
	if err := syscall.Setreuid(-1, user); err != nil {
		t.Fatal(err)
	}
}

// parents are the folders above paths, below the folder for temporary files.
func parents(paths ...string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, dir := range paths {
			for dir != os.TempDir() && dir != "/" && yield(dir) {
				dir = filepath.Dir(dir)
			}
		}
	}
}

func removeAll(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// roomy is enough for all that a command writes, in bytes.
const roomy = 64 << 20

// noRoom matches the error of a full disk. A download checks the space before it begins.
var noRoom = regexp.MustCompile(`the disk of \S+ (is full|has room for)`)

// fullDisk runs each command on a disk that has no room, or too little. The command says so, or
// does without the file. Once there is room, it gives the result of the undisturbed run, to the
// bit. The short form has three commands.
func fullDisk(t *testing.T, c *chaos) {
	disk := filepath.Join(t.TempDir(), "disk")
	mount(t, disk, 0)
	c.t, c.dir = t, disk
	t.Chdir(disk)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(disk, "cache"))
	t.Setenv("HF_HOME", filepath.Join(disk, "hf"))
	for _, k := range killables() {
		if k.name == "paper" || // a grid of trainings
			!longForm() && !slices.Contains([]string{"train", "generate", "fetch"}, k.name) {
			continue
		}
		fill(t, disk, c.prepared)
		c.run(k.command, 0)
		whole, failed := c.result(k), 0
		for _, room := range []int{0, 400 << 10} {
			fill(t, disk, c.prepared)
			resize(t, disk, used(t, disk)+room)
			code, said := c.execute(k.command)
			if code != exitDone {
				failed++
			}
			if code != exitDone && (code != exitFailed || !noRoom.MatchString(said) ||
				unexplained.MatchString(said)) {
				t.Errorf("%s, %d bytes free: exit code %d\n%s", k.name, room, code, said)
			}
			resize(t, disk, roomy)
			command := k.command
			if k.resume != nil {
				command = k.resume(disk)
			}
			if command != nil {
				c.run(command, 0)
			}
			if got := c.result(k); got != whole {
				t.Errorf("%s, once there was room: got %s\nwant %s", k.name, got, whole)
			}
		}
		t.Logf("%s: %d of 2 runs found the disk full", k.name, failed)
	}
	t.Chdir("/")
}

// mount mounts a file system in memory for the test.
func mount(t *testing.T, path string, flags uintptr) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", path, "tmpfs", flags, fmt.Sprint("size=", roomy)); err != nil {
		t.Skip("cannot mount: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// resize sets the size of a mounted file system.
func resize(t *testing.T, path string, size int) {
	t.Helper()
	err := syscall.Mount("tmpfs", path, "tmpfs", syscall.MS_REMOUNT, fmt.Sprint("size=", size))
	if err != nil {
		t.Fatal(err)
	}
}

// used is how much of a file system is used, in bytes.
func used(t *testing.T, path string) int {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		t.Fatal(err)
	}
	return int(s.Blocks-s.Bfree) * int(s.Bsize)
}

// fill replaces what is in a folder by the files of another.
func fill(t *testing.T, dir, from string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		removeAll(t, filepath.Join(dir, e.Name()))
	}
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}
