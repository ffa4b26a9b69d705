package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"haf/recipe"
)

// A killable is a command that is killed at random moments and started again.
type killable struct {
	name    string
	command []string
	// resume returns the command to type after a kill, and nil once the work is done. Where resume is
	// nil, the same command is typed again.
	resume func(dir string) []string
	// outputs are the files and folders that must be as those of the run that nobody killed.
	outputs []string
}

// done returns a resume of the same command that ends once path exists.
func done(path string, command ...string) func(dir string) []string {
	return func(dir string) []string {
		if exists(filepath.Join(dir, path)) {
			return nil
		}
		return command
	}
}

// resumed returns a resume for a verb with a run folder.
func resumed(verb string, start ...string) func(dir string) []string {
	return func(dir string) []string {
		switch {
		case exists(filepath.Join(dir, "out", "model")):
			return nil
		case exists(filepath.Join(dir, "out", "manifest.json")):
			return []string{verb, "-resume", "out"}
		default:
			return start
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func killables() []killable {
	train := []string{"train", "tiny.toml", "-out", "out", "-set", "train.max_steps=12",
		"-set", "train.checkpoint_every=2", "-set", "train.eval_every=3"}
	rlhf := []string{"rlhf", "rl.toml", "-out", "out", "-set", "train.checkpoint_every=1"}
	merge := []string{"merge", "-average", "run", "gold", "-out", "out"}
	export := []string{"export", "-policy", "run", "-out", "out"}
	generate := []string{"generate", "run", "-prompts", "test.jsonl", "-limit", "6", "-n", "3",
		"-max-tokens", "8", "-out", "out"}
	rank := []string{"rank", "run", "-prompts", "test.jsonl", "-limit", "4", "-n", "3",
		"-max-tokens", "8", "-gold", "gold", "-out", "out", "-report", "curve"}
	relabel := []string{"relabel", "run", "-data", "test.jsonl", "-limit", "30", "-out", "out"}
	judge := []string{"judge", "samples.jsonl", "other.jsonl", "-gold", "gold", "-out", "out"}
	score := []string{"score", "run", "-in", "test.jsonl", "-columns", "completion=chosen",
		"-shard", "1/2", "-out", "out"}
	evaluate := []string{"eval", "run", "-data", "test.jsonl", "-limit", "60", "-out", "out"}
	return []killable{
		{"train", train, resumed("train", train...), []string{"out/metrics.jsonl", "out/model"}},
		{"eval", evaluate, done("out", evaluate...), []string{"out"}}, // fills the reference cache, too
		{"rlhf", rlhf, resumed("rlhf", rlhf...), []string{"out/metrics.jsonl", "out/model"}},
		{"paper", []string{"paper", "grid.toml", "-only", "main", "-out", "out"}, nil,
			[]string{"out/page/results.jsonl"}},
		{"merge", merge, done("out", merge...), []string{"out"}},
		{"export", export, done("out", export...), []string{"out"}},
		{"generate", generate, done("out", generate...), []string{"out"}},
		{"rank", rank, done("out", rank...), []string{"out", "curve/best-of-n.md"}},
		{"relabel", relabel, done("out", relabel...), []string{"out"}},
		{"judge", judge, done("out", judge...), []string{"out"}},
		{"score", score, nil, []string{"out"}}, // a part that is there is left as it is
		{"fetch", []string{"score", "org/model", "-prompt", "what does the fox eat", "-response", "mice"},
			nil, []string{"stdout"}},
	}
}

// TestChaos kills each command with SIGKILL at $HAF_CHAOS random moments in all, up to three times
// a run, lets it end, and wants the result of the run that nobody killed, to the bit. `make kills`
// runs it; $HAF_CHAOS_SEED sets other moments.
func TestChaos(t *testing.T) {
	kills, err := strconv.Atoi(os.Getenv("HAF_CHAOS"))
	if err != nil {
		t.Skip("HAF_CHAOS is no number of kills: `make kills` sets it")
	}
	seed, _ := strconv.ParseUint(os.Getenv("HAF_CHAOS_SEED"), 10, 64) // else 0
	c := newChaos(t, rand.New(rand.NewPCG(seed, 0)), true)
	cases := killables()
	want, took := map[string]string{}, map[string]time.Duration{}
	count := map[string]int{}
	for trial := 0; c.kills < kills; trial++ {
		k := cases[trial%len(cases)]
		if want[k.name] == "" {
			c.begin()
			start := time.Now()
			c.run(k.command, 0)
			took[k.name], want[k.name] = time.Since(start), c.result(k)
		}
		c.begin()
		before := c.kills
		c.torture(k, took[k.name])
		if got := c.result(k); got != want[k.name] {
			t.Errorf("%s, killed %d times: got %s\nwant %s", k.name, c.kills-before, got, want[k.name])
		}
		count[k.name] += c.kills - before
	}
	t.Logf("%d kills: %v", c.kills, count)
}

// chaos is the folder in which the commands run.
type chaos struct {
	t        *testing.T
	random   *rand.Rand
	program  string // "" runs the commands in this process
	prepared string // what every run starts with
	dir      string // of the current run
	kills    int
}

// newChaos prepares the folder. The commands run as processes of their own, or else in this one.
func newChaos(t *testing.T, random *rand.Rand, processes bool) *chaos {
	root := t.TempDir()
	c := &chaos{t: t, random: random,
		prepared: filepath.Join(root, "prepared"), dir: filepath.Join(root, "work")}
	if processes {
		c.program = filepath.Join(root, "haf")
		if out, err := exec.Command("go", "build", "-o", c.program, ".").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	t.Setenv("HAF_DEVICE", "go")
	t.Setenv("HF_HUB_OFFLINE", "1")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(c.dir, "cache"))
	t.Setenv("HF_HOME", filepath.Join(c.dir, "hf"))
	if err := os.Mkdir(c.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := recipe.WriteDemo(c.dir, 1); err != nil {
		t.Fatal(err)
	}
	c.write("tiny.toml", tinyRecipe)
	for script, name := range map[string]string{"rlhf": "rl.toml", "paper": "grid.toml"} {
		c.write(name, section(t, script, name))
	}
	t.Chdir(c.dir)
	for _, command := range []string{
		"train tiny.toml -out run", "train tiny.toml -out gold -set train.seed=3",
		"train tiny.toml -out rm",
		"generate run -prompts test.jsonl -limit 5 -n 2 -max-tokens 8 -out samples.jsonl",
		"generate gold -prompts test.jsonl -limit 5 -n 2 -max-tokens 8 -seed 9 -out other.jsonl",
	} {
		c.run(strings.Fields(command), 0)
	}
	served := filepath.Join(c.dir, "hub", "models", "org", "model")
	if err := os.CopyFS(served, os.DirFS(filepath.Join(c.dir, "run", "model"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.dir, "cache")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(c.dir, c.prepared); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(hubHandler(filepath.Join(c.prepared, "hub"), false))
	t.Cleanup(server.Close)
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HUB_OFFLINE", "")
	return c
}

func (c *chaos) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// section returns a file of a script, without the cells that fail on purpose.
func section(t *testing.T, script, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "script", script+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "-- "+name+" --\n")
	if !ok {
		t.Fatalf("%s has no %s", script, name)
	}
	rest, _, _ = strings.Cut(rest, "\n-- ")
	return rest
}

// begin makes the folder anew.
func (c *chaos) begin() {
	c.t.Helper()
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Fatal(err)
	}
	if err := os.CopyFS(c.dir, os.DirFS(c.prepared)); err != nil {
		c.t.Fatal(err)
	}
	c.t.Chdir(c.dir)
}

// torture runs a command with up to three kills, and then to its end.
func (c *chaos) torture(k killable, took time.Duration) {
	command := k.command
	for range 1 + c.random.IntN(3) {
		// A process that resumes needs less time, and often ends before it is killed.
		c.run(command, 1+time.Duration(c.random.Int64N(int64(took))))
		if k.resume != nil {
			if command = k.resume(c.dir); command == nil {
				return
			}
		}
	}
	c.run(command, 0)
}

// run runs haf. After a time that is not 0 it is killed; a process that is not killed must end
// well.
func (c *chaos) run(args []string, kill time.Duration) {
	c.t.Helper()
	if c.program == "" {
		if code, said := c.execute(args); code != exitDone {
			c.t.Fatalf("haf %s: exit code %d\n%s", strings.Join(args, " "), code, said)
		}
		return
	}
	cmd := exec.Command(c.program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, &stdout, &stderr
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	if kill > 0 {
		timer := time.AfterFunc(kill, func() { _ = cmd.Process.Kill() }) // it may have ended
		defer timer.Stop()
	}
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && kill > 0 && exit.ExitCode() == -1 {
		c.kills++
		return
	}
	if err != nil {
		c.t.Fatalf("haf %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	c.write("stdout", stdout.String())
}

// clock matches the fields of metrics and results that depend on the time or on what a process has
// compiled before, and the checksums of lines that have such fields.
var clock = regexp.MustCompile(
	`"(\w*seconds|tokens_per_second|peak_memory|programs)":\s*[-+0-9.e]+|"crc32c":"[0-9a-f]{8}"`)

// result is the content of the outputs without times.
func (c *chaos) result(k killable) string {
	c.t.Helper()
	var all strings.Builder
	for _, name := range k.outputs {
		err := filepath.WalkDir(filepath.Join(c.dir, name),
			func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				data, err := os.ReadFile(path)
				rel, _ := filepath.Rel(c.dir, path)
				data = clock.ReplaceAll(data, nil)
				if d.Name() == "results.jsonl" { // cells in the order in which they were finished
					lines := bytes.SplitAfter(data, []byte("\n"))
					slices.SortFunc(lines, bytes.Compare)
					data = bytes.Join(lines, nil)
				}
				if len(data) > 4000 {
					data = fmt.Appendf(nil, "%d bytes of SHA-256 %x", len(data), sha256.Sum256(data))
				}
				fmt.Fprintf(&all, "%s: %s\n", rel, data)
				return err
			})
		if err != nil {
			c.t.Errorf("%s: %v", k.name, err)
		}
	}
	return all.String()
}
