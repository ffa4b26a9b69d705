package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"haf/internal/shared"
	"haf/recipe"
	"haf/weights"
)

// TestScripts runs testdata/script: the command line as a user meets it. Beside testscript's own
// commands there are
//
//	demo                        writes base/, train.jsonl and test.jsonl of the demo's world, and
//	                            tiny.toml to train on them
//	code N haf …                runs haf, which must exit with N and say no foreign flag or package
//	tensor drop DIR NAME        removes a tensor from a folder's weights
//	tensor reshape DIR NAME     gives it one row more
//	tensor rename DIR NAME NEW  gives it another name
//	near FILE FILE TOLERANCE    compares the numbers in two files
//	interrupt METRICS haf …     runs haf, sends SIGINT once it has made a step, wants exit code 130;
//	                            stderr in $WORK/stderr
//	lines FILE N                wants that many lines
//	serving MODEL… FLAG…        starts haf serve, waits until it is ready; address in $URL
//	signalled hup TEXT | term   sends it a signal: the text comes on its stderr, or it ends with
//	                            exit code 0
//	clean                       wants nothing under a temporary name in $WORK
func TestScripts(t *testing.T) {
	testscript.Run(t, scriptParams(filepath.Join("testdata", "script")))
}

// scriptParams run the scripts of a folder.
func scriptParams(dir string) testscript.Params {
	return testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("HAF_DEVICE", "go")
			env.Setenv("GGUF", filepath.Join(shared.Root(), "lm", "testdata", "gguf", "text.gguf"))
			env.Setenv("FORMATS", filepath.Join(shared.Root(), "cmd", "haf", "testdata", "formats"))
			env.Setenv("FOREIGN", filepath.Join(shared.Root(), "reward", "testdata", "foreign"))
			env.Setenv("RECIPES", filepath.Join(shared.Root(), "recipes"))
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("HF_HOME", filepath.Join(env.WorkDir, "hf"))
			env.Setenv("HF_HUB_OFFLINE", "1") // no script asks the real hub
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"demo": demoFiles, "code": exitCode, "tensor": changeTensor, "near": near, "flip": flip,
			"interrupt": interruptRun, "clean": clean,
			"hub": hubCommand, "stopfetch": stopFetch, "rebase": rebase, "lines": countLines,
			"serving": serving, "signalled": signalled,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	}
}

// tinyRecipe takes well under a second.
const tinyRecipe = `
[model]
path = "base"
max_length = 64
[data]
train = ["train.jsonl"]
limit = 40
valid_fraction = 0.2
[train]
max_steps = 3
batch = 8
lr = 1e-2
tokens_per_batch = 256
`

func demoFiles(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: demo")
	}
	dir := ts.MkAbs(".")
	_, err := recipe.WriteDemo(dir, 1)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "tiny.toml"), []byte(tinyRecipe), 0o644))
}

func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command …")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if args[1] == "haf" {
		ts.Check(checkSaid(args[2:], ts.ReadFile("stderr")))
	}
}

// flip changes the last bit of a file.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip FILE")
	}
	path := ts.MkAbs(args[0])
	data, err := os.ReadFile(path)
	ts.Check(err)
	data[len(data)-1] ^= 1
	ts.Check(os.WriteFile(path, data, 0o644))
}

func changeTensor(ts *testscript.TestScript, neg bool, args []string) {
	want := map[string]int{"drop": 3, "reshape": 3, "negate": 3, "rename": 4}
	if neg || len(args) == 0 || len(args) != want[args[0]] {
		ts.Fatalf("usage: tensor drop|reshape|negate DIR NAME, tensor rename DIR NAME NEW")
	}
	dir, name := ts.MkAbs(args[1]), args[2]
	ck, err := weights.Open(dir)
	ts.Check(err)
	var arrays []weights.Array
	for _, n := range ck.Names() {
		a, err := ck.Read(n)
		ts.Check(err)
		if n == name {
			switch args[0] {
			case "drop":
				continue
			case "rename":
				a.Name = args[3]
			case "negate":
				for i := range a.Data {
					a.Data[i] = -a.Data[i]
				}
			default:
				a.Data = append(a.Data, make([]float32, len(a.Data)/a.Shape[0])...)
				a.Shape = append([]int{a.Shape[0] + 1}, a.Shape[1:]...)
			}
		}
		arrays = append(arrays, a)
	}
	if !slices.Contains(ck.Names(), name) {
		ts.Fatalf("no tensor %s", name)
	}
	ts.Check(ck.Close())
	ts.Check(weights.Write(dir, weights.Lazy(arrays...), weights.WriteOptions{}))
	forgetChecksums(ts, filepath.Join(dir, "haf.json"))
}

// forgetChecksums removes the checksums of weights, which were changed on purpose.
func forgetChecksums(ts *testscript.TestScript, path string) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	ts.Check(err)
	var meta map[string]json.RawMessage
	ts.Check(json.Unmarshal(data, &meta))
	delete(meta, "weights_crc32c")
	data, err = json.Marshal(meta)
	ts.Check(err)
	ts.Check(os.WriteFile(path, data, 0o644))
}

func near(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: near FILE FILE TOLERANCE")
	}
	tolerance, err := strconv.ParseFloat(args[2], 64)
	ts.Check(err)
	a, b := numbers(ts.ReadFile(args[0])), numbers(ts.ReadFile(args[1]))
	if len(a) == 0 || len(a) != len(b) {
		ts.Fatalf("%d and %d numbers", len(a), len(b))
	}
	for i := range a {
		if !(math.Abs(a[i]-b[i]) <= tolerance) {
			ts.Fatalf("number %d: %g and %g", i, a[i], b[i])
		}
	}
}

func numbers(text string) (out []float64) {
	for _, word := range strings.FieldsFunc(text,
		func(r rune) bool { return strings.ContainsRune(" \t\n,:[]{}", r) }) {
		if x, err := strconv.ParseFloat(word, 64); err == nil {
			out = append(out, x)
		}
	}
	return out
}

func interruptRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: interrupt METRICS command …")
	}
	metrics := ts.MkAbs(args[0])
	program, err := exec.LookPath(args[1])
	ts.Check(err)
	before := lastStep(metrics)
	var stderr bytes.Buffer
	cmd := exec.Command(program, args[2:]...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &stderr
	cmd.Env = append(os.Environ(), "HAF_DEVICE=go", "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"),
		"SOURCE_DATE_EPOCH="+ts.Getenv("SOURCE_DATE_EPOCH"))
	ts.Check(cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for signalled := false; ; {
		select {
		case <-done:
			if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
				ts.Fatalf("exit code %d, want %d\n%s", code, exitInterrupted, stderr.String())
			}
			ts.Check(os.WriteFile(ts.MkAbs("stderr"), stderr.Bytes(), 0o644))
			return
		case <-time.After(5 * time.Millisecond):
			if !signalled && lastStep(metrics) > before {
				ts.Check(cmd.Process.Signal(os.Interrupt))
				signalled = true
			}
		}
	}
}

// lastStep is the last optimizer step recorded in a metrics file, 0 where there is none.
func lastStep(path string) (last int) {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var at struct{ Step int }
		if json.Unmarshal(lines.Bytes(), &at) == nil {
			last = max(last, at.Step)
		}
	}
	return last
}

func clean(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: clean")
	}
	root := ts.Getenv("WORK")
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == filepath.Join(root, ".tmp"): // testscript's own
			return fs.SkipDir
		case strings.HasPrefix(d.Name(), "."):
			return fmt.Errorf("%s was left", path)
		}
		return nil
	}))
}

func countLines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: lines FILE N")
	}
	if n := strings.Count(ts.ReadFile(args[0]), "\n"); strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s has %d lines, want %s", args[0], n, args[1])
	}
}
