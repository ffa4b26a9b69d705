package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"haf/hub"
	"haf/run"
)

var _ run.Progress = (*Printer)(nil)

// TestFit cuts a description at a whole fact, so that it stays on one line.
func TestFit(t *testing.T) {
	const detail = "training: loss 0.8016 (reward 0.6746, policy 0.6349), accuracy 0.55, 2100 tokens/s"
	p := &Printer{w: &bytes.Buffer{}, phase: "training", total: 30} // no terminal: 80 columns
	if got, want := p.fit(detail), "training: loss 0.8016"; got != want {
		t.Errorf("fit = %q, want %q", got, want)
	}
	p.total = 1_000_000_000_000
	if got, want := p.fit(detail), "training"; got != want {
		t.Errorf("fit = %q, want %q", got, want)
	}
}

// TestLine compares lines with those of rates worked out by hand.
func TestLine(t *testing.T) {
	p := New(&bytes.Buffer{})
	p.memory = func() int64 { return 2 << 30 }
	p.StartPhase("training", 100)
	p.Update(10, "") // a resumed run
	if got, want := p.line(30, "loss 1", p.began.Add(10*time.Second)),
		"training 30/100: loss 1, "+hub.Bytes(2<<30)+", 35s left"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	p.begin("fetching x", 3<<20, true)
	if got, want := p.line(3<<20, "", p.began.Add(3*time.Second)),
		"fetching x "+hub.Bytes(3<<20)+"/"+hub.Bytes(3<<20); !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q first", got, want)
	}
}

// TestLines has lines at the end of each pass alone, where there is no terminal.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	pass := p.Passes()
	for _, name := range []string{"reading", "scoring"} {
		for done := range 3 {
			pass(name, done, 2)
		}
	}
	p.Logf("%s", errors.New("done"))
	if got, want := out.String(), "reading 2/2\nscoring 2/2\ndone\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestFetches has the client's notes and downloads on one stream.
func TestFetches(t *testing.T) {
	var out bytes.Buffer
	c := &hub.Client{}
	Fetches(c, &out, false)
	c.Say("using %s", "a mirror")
	c.Progress("org/name", 0, 10)
	c.Progress("org/name", 10, 10)
	got := out.String()
	if !strings.HasPrefix(got, "haf: using a mirror\nfetching org/name 10 B/10 B") {
		t.Errorf("%q", got)
	}
}

// TestQuiet prints warnings and nothing else.
func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	p.Quiet = true
	p.Logf("device: %s", "cpu")
	p.Logf("warning: %s", "one")
	p.Logf("haf: %s", "two")
	p.StartPhase("training", 1)
	p.last = time.Time{}
	p.Update(1, "loss 1")
	p.EndPhase()
	if got, want := out.String(), "warning: one\nhaf: two\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if residentMemory() < 1<<20 {
		t.Errorf("this process holds %d bytes", residentMemory())
	}
}
