package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
)

// A signalled verb is at work, or waits, when it gets a signal.
type signalCase struct {
	args string // the words of the command line; URL is a server that takes requests and never answers
	// busy tells that the verb is at work: "asked" once the server has a request, "open FILE" once the
	// process has opened the file, else once standard output or error matches the expression.
	busy string
	code int
	said string // expression that standard error matches at the end
}

// shortVerbs end before a signal could reach them, so they have no case; the value says why.
var shortVerbs = map[string]string{
	"recipes": "lists what is built in", "version": "describes the build",
	"completion": "prints a script", "__complete": "completes a line",
	"report": "reads records of runs, a second for thousands of steps",
	"join":   "copies files as fast as the disk does",
}

// interrupted is how a verb ends.
const interrupted = `(?m)^haf: .*interrupted`

func signalCases() []signalCase {
	stalled := func(args string) signalCase {
		return signalCase{args, "asked", exitInterrupted, interrupted}
	}
	works := func(args, busy string) signalCase {
		return signalCase{args, busy, exitInterrupted, interrupted}
	}
	const resume = `a checkpoint is saved; to resume, run: haf (train|rlhf) -resume out`
	return []signalCase{
		// Waiting for a server, in each verb that asks one.
		stalled("init datasets/org/set base -out new.toml"),
		stalled("train tiny.toml -out out -set model.path=org/name"),
		stalled("rlhf rl.toml -out out -set model.path=org/name"),
		stalled("eval org/name -data test.jsonl -out out"),
		stalled("eval URL -data test.jsonl -out out"),
		stalled("score org/name -prompt a -response b"),
		stalled("explain org/name -prompt a -response b"),
		stalled("data datasets/org/set"),
		stalled("bench org/name -data test.jsonl"),
		stalled("merge org/name -out out"),
		stalled("export -policy org/name -out out"),
		stalled("paper grid.toml -model org/name -out out"),
		stalled("compare datasets/org/set base -out out"),
		stalled("combine run -valid datasets/org/set"),
		stalled("generate -url URL -prompts test.jsonl -out out"),
		stalled("generate -url URL -prompt a"),
		stalled("rank run -url URL -prompts test.jsonl -out out"),
		stalled("rank URL -samples samples.jsonl -out out"),
		stalled("judge samples.jsonl other.jsonl -url URL -out out"),
		stalled("relabel URL -data test.jsonl -out out"),
		stalled("relabel run -data test.jsonl -limit 20 -strategy random -url URL -out out"),
		stalled("push run org/name"),
		stalled("track run -to mlflow -mlflow-uri URL"),
		stalled("doctor org/name"),
		stalled("inspect org/name"),
		stalled("setup"),
		// At work, in each verb that works for long.
		{"train tiny.toml -out out -set train.max_steps=100000 -set train.epochs=0 " +
			"-set train.eval_every=0", "open out/metrics.jsonl", exitInterrupted, resume},
		{"rlhf rl.toml -out out -set train.max_steps=100000", "open out/metrics.jsonl", exitInterrupted,
			resume},
		works("train tiny.toml -out out -set data.train=big.jsonl -set data.limit=0", "open big.jsonl"),
		works("init big.jsonl base -out new.toml", "open big.jsonl"),
		works("eval run -data big.jsonl -out out", "open big.jsonl"),
		works("score run -in long.jsonl", "open long.jsonl"),
		works("score run -in long.jsonl -out out", "open out.part"),
		works("explain run -in long.jsonl", "open long.jsonl"),
		works("data big.jsonl", "open big.jsonl"),
		works("doctor big.jsonl", "open big.jsonl"),
		works("demo", "device"),
		works("bench base -data test.jsonl -pairs 200 -runs 1000", "run 1"),
		works("paper grid.toml -out out", "device"),
		works("compare demo demo -out out", "device"),
		works("generate run -prompts long.jsonl -n 20 -out out", "open out.part"),
		works("rank run -samples long.jsonl -gold gold -out out", "open long.jsonl"),
		works("judge long.jsonl longer.jsonl -gold gold -out out", "open out.part"),
		// Servers end well.
		{"serve run -addr 127.0.0.1:0", "http://", exitDone, ""},
		{"serve org/name -addr 127.0.0.1:0", "asked", exitDone, ""},
		{"ui run -addr 127.0.0.1:0", "http://", exitDone, ""},
	}
}

// TestSignals sends each verb SIGTERM and SIGINT while it waits for a server or is at work. It must
// end with the documented exit code and say so, and leave nothing half-written. Every verb has a
// case or a reason to have none.
func TestSignals(t *testing.T) {
	long(t)
	cases := signalCases()
	tried := map[string]bool{}
	for _, c := range cases {
		verb, _, _ := strings.Cut(c.args, " ")
		tried[verb] = true
	}
	for _, verb := range verbs(t) {
		if reason := shortVerbs[verb]; tried[verb] == (reason != "") {
			t.Errorf("haf %s has no case here, and no reason to have none, or both", verb)
		}
	}
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	c.begin() // the base model lies there
	long := t.TempDir()
	// Nothing reads this within the three seconds that a verb has to end by itself.
	lengthen(t, filepath.Join(long, "big.jsonl"), "test.jsonl", 1500)
	lengthen(t, filepath.Join(long, "long.jsonl"), "samples.jsonl", 1000)
	lengthen(t, filepath.Join(long, "longer.jsonl"), "other.jsonl", 1000)
	for i, k := range cases {
		t.Run(k.args, func(t *testing.T) {
			t.Parallel()
			signal := []os.Signal{syscall.SIGTERM, os.Interrupt}[i%2]
			k.try(t, c.prepared, long, signal)
		})
	}
}

// verbs are those of the command line.
func verbs(t *testing.T) (names []string) {
	t.Helper()
	parser, err := kong.New(&cli{}, kong.Name("haf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range parser.Model.Children {
		names = append(names, node.Name)
	}
	return names
}

// lengthen makes a file with many times the rows of another, of which every prompt is a new one.
func lengthen(t *testing.T, long, short string, times int) {
	t.Helper()
	var out bytes.Buffer
	rows := bytes.SplitAfter(readFile(t, short), []byte("\n"))
	for n := range times {
		for _, row := range rows {
			out.Write(bytes.Replace(row, []byte("what does"), fmt.Appendf(nil, "%d what does", n), 1))
		}
	}
	if err := os.WriteFile(long, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// try runs the command in a copy of the prepared folder, with links to the long files, and sends it
// the signal once it is busy.
func (c signalCase) try(t *testing.T, prepared, long string, signal os.Signal) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(prepared)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"big.jsonl", "long.jsonl", "longer.jsonl"} {
		if err := os.Symlink(filepath.Join(long, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	program, err := exec.LookPath("haf")
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan struct{})
	var once sync.Once
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		once.Do(func() { close(asked) })
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	}))
	defer server.Close()
	defer close(ended)
	var stdout, stderr safeBuffer
	cmd := exec.Command(program, strings.Fields(strings.ReplaceAll(c.args, "URL", server.URL))...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), "HAF_DEVICE=go", "HF_HUB_OFFLINE=", "HF_ENDPOINT="+server.URL,
		"XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "HF_HOME="+filepath.Join(dir, "hf"),
		"HF_TOKEN=token", "TMPDIR="+filepath.Join(dir, "tmp"), "PIP_INDEX_URL="+server.URL,
		"PIP_CONFIG_FILE=/dev/null")
	if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	defer cmd.Process.Kill()
	for busy := false; !busy; {
		select {
		case err := <-exited:
			t.Fatalf("ended before the signal: %v\n%s%s", err, stdout.String(), stderr.String())
		case <-time.After(2 * time.Millisecond):
		}
		switch file, isFile := strings.CutPrefix(c.busy, "open "); {
		case c.busy == "asked":
			select {
			case <-asked:
				busy = true
			default:
			}
		case isFile:
			busy = hasOpen(cmd.Process.Pid, file)
		default:
			busy = regexp.MustCompile(c.busy).MatchString(stdout.String() + stderr.String())
		}
	}
	began := time.Now()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	select {
	case <-exited:
	case <-time.After(time.Minute):
		t.Fatalf("does not end within a minute of %v\n%s", signal, stderr.String())
	}
	said := stderr.String()
	t.Logf("%v: %d after %.1f s: %s", signal, cmd.ProcessState.ExitCode(), time.Since(began).Seconds(),
		said[strings.LastIndexByte(strings.TrimRight(said, "\n"), '\n')+1:])
	if code := cmd.ProcessState.ExitCode(); code != c.code {
		t.Errorf("exit code %d, want %d\n%s", code, c.code, said)
	}
	if !regexp.MustCompile(c.said).MatchString(said) {
		t.Errorf("does not say %s\n%s", c.said, said)
	}
	if unexplained.MatchString(said) || strings.Contains(said, "context canceled") {
		t.Errorf("says what users do not know\n%s", said)
	}
	c.whole(t, dir)
}

// whole wants nothing under a temporary name, and of an output that is one file only its journal.
func (c signalCase) whole(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(dir, path)
		switch {
		case err != nil:
			return err
		case rel == "hf":
			return fs.SkipDir // downloads are kept as .incomplete files
		case strings.HasPrefix(d.Name(), ".") && rel != ".", filepath.Dir(rel) == "tmp",
			strings.HasPrefix(d.Name(), "tmp-"),
			rel == "out" && !d.IsDir(), rel == "new.toml":
			t.Errorf("%s was left", rel)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// hasOpen reports whether a process has opened the file of a name.
func hasOpen(pid int, name string) bool {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid)) // none once it has ended
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		path, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, e.Name()))
		return err == nil && strings.HasSuffix(path, "/"+name)
	})
}
