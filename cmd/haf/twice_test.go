package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"haf/internal/durable"
)

// taken matches the error of a command whose output another process is writing or has written.
var taken = regexp.MustCompile(`in use by|exists|holds a run already|is finished`)

// TestTwoAtOnce starts each verb that writes twice at once, on one output. One of them makes it, to
// the bit of one that is alone; the other is refused with the reason, or makes the same. The short
// form has three verbs.
func TestTwoAtOnce(t *testing.T) {
	long(t)
	program, err := exec.LookPath("haf")
	if err != nil {
		t.Fatal(err)
	}
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	for _, k := range append(killables(),
		killable{"init", strings.Fields("init test.jsonl base -out out"), nil, []string{"out"}},
		killable{"report", strings.Fields("report run -out out"), nil, []string{"out"}},
		killable{"combine", strings.Fields("combine run"), nil, []string{"run/model/combination.json"}},
	) {
		if !longForm() && !slices.Contains([]string{"paper", "generate", "report"}, k.name) {
			continue
		}
		c.begin()
		c.run(k.command, 0)
		whole, refused := c.result(k), 0
		c.begin()
		var two [2]*exec.Cmd
		for i := range two {
			two[i] = exec.Command(program, k.command...)
			two[i].Dir, two[i].Stdout, two[i].Stderr = c.dir, &bytes.Buffer{}, &bytes.Buffer{}
			if err := two[i].Start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, cmd := range two {
			_ = cmd.Wait() // the exit code is looked at
			if cmd.ProcessState.Success() {
				c.write("stdout", cmd.Stdout.(*bytes.Buffer).String())
				continue
			}
			refused++
			said := cmd.Stderr.(*bytes.Buffer).String()
			if !taken.MatchString(said) || unexplained.MatchString(said) {
				t.Errorf("haf %s, twice at once: %s", strings.Join(k.command, " "), said)
			}
		}
		if got := c.result(k); got != whole || refused == 2 {
			t.Errorf("haf %s, twice at once, %d refused: got %s\nwant %s",
				strings.Join(k.command, " "), refused, got, whole)
		}
		t.Logf("%s: %d refused", k.name, refused)
	}
}

// TestDataChanges changes the data of a verb with a journal after it was stopped: typed again, the
// verb does not mix parts of both.
func TestDataChanges(t *testing.T) {
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	data := map[string]string{"generate": "test.jsonl", "rank": "test.jsonl",
		"judge": "samples.jsonl"}
	for _, k := range killables() {
		file := data[k.name]
		if file == "" {
			continue
		}
		c.begin()
		restore := durable.SetFault(func(op durable.Op, path string) error {
			if op == durable.OpRename {
				return &os.PathError{Op: string(op), Path: path, Err: syscall.ENOSPC}
			}
			return nil
		})
		code, said := c.execute(k.command)
		restore()
		if code != exitFailed || !exists("out.part") {
			t.Fatalf("%s: exit code %d, and no journal: %s", k.name, code, said)
		}
		key := "content" // of each message of a prompt
		if k.name == "judge" {
			key = "response"
		}
		changed := regexp.MustCompile(`"`+key+`": ?"`).ReplaceAll(readFile(t, file),
			[]byte(`"`+key+`":"today mice `))
		if err := os.WriteFile(file, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		code, said = c.execute(k.command)
		if code != exitFailed || !strings.Contains(said, "out.part") || exists("out") {
			t.Errorf("%s with other data: exit code %d: %s", k.name, code, said)
		}
		removeAll(t, file)
		code, said = c.execute(k.command)
		if code != exitFailed || !strings.Contains(said, "there is no") || exists("out") {
			t.Errorf("%s without its data: exit code %d: %s", k.name, code, said)
		}
	}
}
