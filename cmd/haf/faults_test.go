package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"haf/internal/durable"
)

// TestEveryWriteFails makes operations on the file system of each verb fail in turn, once as a disk
// that makes an error and once as one that stays full from there on. The verb says so, or does
// without the file; typed again, it gives the result of the run without a fault, to the bit. Two
// operations of each verb take their turn; with HAF_CHAOS of 100 or more, as make kills sets it,
// at least twenty. Trainings and pages have tests of their own, in packages train and report.
func TestEveryWriteFails(t *testing.T) {
	long(t)
	most := 2
	if longForm() {
		most = 20
	}
	c := newChaos(t, rand.New(rand.NewPCG(0, 0)), false)
	for _, k := range killables() {
		if k.name == "train" {
			continue
		}
		c.begin()
		began := time.Now()
		var total int
		restore := durable.SetFault(func(durable.Op, string) error { total++; return nil })
		c.run(k.command, 0)
		restore()
		whole, tried := c.result(k), 0
		every := max(1, total/most)
		for n := every; n <= total && !t.Failed(); n += every {
			for _, full := range []bool{false, true} {
				c.faulty(k, whole, n, full)
				tried++
			}
		}
		t.Logf("%s: %d faults at its %d operations, %.0f s", k.name, tried, total,
			time.Since(began).Seconds())
	}
}

// longForm reports whether make kills asks for the long form of a test.
func longForm() bool {
	kills, _ := strconv.Atoi(os.Getenv("HAF_CHAOS")) // else 0
	return kills >= 100
}

// faulty runs a command with a fault at its n-th operation, ends the work without one, and wants
// the result whole.
func (c *chaos) faulty(k killable, whole string, n int, onward bool) {
	c.t.Helper()
	c.begin()
	var asked int
	var at string
	restore := durable.SetFault(func(op durable.Op, path string) error {
		asked++
		if asked == n {
			at = fmt.Sprint(op, " ", path)
		}
		if asked == n || onward && asked > n {
			return &os.PathError{Op: string(op), Path: path, Err: syscall.ENOSPC}
		}
		return nil
	})
	code, said := c.execute(k.command)
	restore()
	full := strings.Contains(said, syscall.ENOSPC.Error()) || strings.Contains(said, " is full")
	if code != exitDone && (code != exitFailed || !full || unexplained.MatchString(said)) {
		c.t.Errorf("haf %s, fault at %s: exit code %d\n%s", strings.Join(k.command, " "), at, code, said)
	}
	command := k.command
	if k.resume != nil {
		command = k.resume(c.dir)
	}
	if command != nil {
		c.run(command, 0)
	}
	if got := c.result(k); got != whole {
		c.t.Errorf("haf %s, after a fault at %s: got %s\nwant %s", strings.Join(k.command, " "), at,
			got, whole)
	}
}

// execute runs a command in this process. It returns the exit code and standard error.
func (c *chaos) execute(args []string) (code int, said string) {
	c.t.Helper()
	var stdout, stderr bytes.Buffer
	code = execute(args, &stdout, &stderr)
	if err := os.WriteFile(filepath.Join(c.dir, "stdout"), stdout.Bytes(), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return code, stderr.String()
}
