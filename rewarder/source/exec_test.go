package source

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"haf/pref"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
)

// TestMain lets the test binary be the command that is tested, where asCommand says how it behaves.
func TestMain(m *testing.M) {
	if how := os.Getenv(asCommand); how != "" {
		beCommand(how)
		return
	}
	os.Exit(m.Run())
}

const asCommand = "HAF_TEST_COMMAND"

// beCommand reads samples and writes their rewards, with a fault.
func beCommand(how string) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	if how == "early" || how == "shifted" {
		fmt.Println("1")
	}
	if how == "unread" {
		fmt.Print("1\n2\n3\n4\n5\n6\n7\n8\n")
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	n := 0
	for ; lines.Scan(); n++ {
		var s struct {
			pref.Sample
			ID string
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(9)
		}
		reward := counted(s.Prompt, s.Response)
		crashes := strings.Contains(s.Response, "crash")
		switch {
		case how == "one" && n == 1, crashes && how == "always":
			fmt.Fprintln(os.Stderr, "out of luck")
			os.Exit(7)
		case crashes && how == "once":
			marker := os.Getenv(asCommand + "_MARKER")
			if _, err := os.Stat(marker); err != nil {
				_ = os.WriteFile(marker, nil, 0o644)
				os.Exit(7)
			}
		case how == "shifted" && n == 6:
			continue
		case how == "drops" && n == 2:
			continue
		case how == "drops" && n == 3:
			fmt.Println(reward) // as many lines as it read, of which two are of this response
		case how == "hang":
			time.Sleep(time.Minute)
		case how == "words":
			fmt.Println("the reward is", reward)
			continue
		case how == "nan":
			fmt.Println("NaN")
			continue
		case how == "id":
			reward, _ = strconv.ParseFloat(s.ID, 64)
		case how == "twice":
			fmt.Println(reward)
		}
		fmt.Println(reward)
	}
	if how == "at the end" {
		fmt.Fprintln(os.Stderr, "could not save")
		os.Exit(3)
	}
}

// behaving returns the name of a command that behaves as told.
func behaving(t *testing.T, how string) string {
	t.Helper()
	t.Setenv(asCommand, how)
	t.Setenv(asCommand+"_MARKER", filepath.Join(t.TempDir(), "marker"))
	return "exec:'" + os.Args[0] + "'"
}

func TestCommandConforms(t *testing.T) {
	defer func(d time.Duration) { settling = d }(settling)
	settling = time.Millisecond                   // the suite starts hundreds of processes
	for _, how := range []string{"well", "one"} { // the second is started anew for each response
		t.Run(how, func(t *testing.T) {
			r := mustOpen(t, behaving(t, how), Options{})
			rewardertest.Test(t, r, rewardertest.Options{})
		})
	}
}

// A command that leaves a line out, and writes another twice, has no reward taken for another's.
func TestCommandDropsALine(t *testing.T) {
	var samples []pref.Sample
	for i := range 6 {
		samples = append(samples, pref.Sample{Prompt: rewardertest.Samples()[0].Prompt,
			Response: strings.Repeat("x", i+1)})
	}
	r := mustOpen(t, behaving(t, "drops"), Options{Timeout: 300 * time.Millisecond})
	read, err := r.Read(t.Context(), rewarder.Alone(samples), nil)
	if err != nil {
		if !strings.Contains(err.Error(), "the command wrote") {
			t.Error(err)
		}
		return
	}
	for i, s := range samples {
		if got, want := read.Rewards[Score][i][0], counted(s.Prompt, s.Response); got != want {
			t.Errorf("response %d has the reward %v, want %v", i+1, got, want)
		}
	}
}

func TestCommandFaults(t *testing.T) {
	samples := []pref.Sample{{Prompt: rewardertest.Samples()[0].Prompt, Response: "good"},
		{Prompt: rewardertest.Samples()[0].Prompt, Response: "crash"}}
	for how, want := range map[string]string{
		"always": "response 2 of 2: the command gave no reward: exit status 7; it wrote: out of luck",
		"hang":   "response 1 of 2: the command gave no reward: no line within",
		"words":  `wrote "the reward is`,
		"nan":    `wrote "NaN", want a finite number`,
	} {
		t.Run(how, func(t *testing.T) {
			var said []string
			r := mustOpen(t, behaving(t, how), Options{Timeout: 2 * time.Second,
				Log: func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }})
			_, err := r.Read(t.Context(), rewarder.Alone(samples), nil)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
			again := slices.ContainsFunc(said, func(s string) bool {
				return strings.Contains(s, "started again")
			})
			if again != (how == "always" || how == "hang") {
				t.Errorf("said %q", said)
			}
		})
	}
	for how, want := range map[string]string{
		"twice": "a line more than it read", "early": "more than it read",
		"at the end": "exit status 3; it wrote: could not save",
	} {
		r, err := Open(t.Context(), behaving(t, how), Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Read(t.Context(), rewarder.Alone(samples), nil)
		if err = errors.Join(err, r.Close()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", how, err, want)
		}
	}
}

// TestCommandLinesAhead refuses the first rewards of a command that wrote a line before it read
// one, also where it writes one less later, so that the number of lines is right.
func TestCommandLinesAhead(t *testing.T) {
	for _, how := range []string{"early", "shifted", "unread"} {
		r, err := Open(t.Context(), behaving(t, how), Options{})
		if err != nil {
			t.Fatal(err)
		}
		groups := rewarder.Alone(rewardertest.Samples())
		read, err := r.Read(t.Context(), groups, nil)
		if err == nil || !strings.Contains(err.Error(), "read") {
			t.Errorf("%s: %v, %v", how, read.Rewards, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestCommandStartedAgain asks a new process for what a crashed one has not answered.
func TestCommandStartedAgain(t *testing.T) {
	samples := rewardertest.Samples()
	samples[3].Response = "crash"
	r := mustOpen(t, behaving(t, "once"), Options{})
	for range 2 { // the second time without a crash
		read, err := r.Read(t.Context(), rewarder.Alone(samples), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range samples {
			if want := counted(s.Prompt, s.Response); math.Abs(read.Rewards[Score][i][0]-want) > 1e-12 {
				t.Errorf("sample %d: %v, want %v", i, read.Rewards[Score][i][0], want)
			}
		}
	}
}

// TestCommandID sends the ids of rows, and ends a command whose call is cancelled.
func TestCommandID(t *testing.T) {
	r := mustOpen(t, behaving(t, "id"), Options{})
	g := pref.NewPair(rewardertest.Samples()[0].Prompt, "a", "b", pref.Location{})
	g.ID = "17"
	read, err := r.Read(t.Context(), []pref.Group{g}, nil)
	if err != nil || !slices.Equal(read.Rewards[Score][0], []float64{17, 17}) {
		t.Error(read, err)
	}
	r = mustOpen(t, behaving(t, "hang"), Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = r.Read(ctx, []pref.Group{g}, nil)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 20*time.Second {
		t.Error(err)
	}
}

// TestCommandWords splits commands by the documented rule.
func TestCommandWords(t *testing.T) {
	for text, want := range map[string][]string{
		`python3 -u check.py`:      {"python3", "-u", "check.py"},
		`check 'a b' "c 'd'" e\ f`: {"check", "a b", "c 'd'", "e f"},
		`check '' $HOME #x *.py`:   {"check", "", "$HOME", "#x", "*.py"},
		`sh -c 'sort | uniq'`:      {"sh", "-c", "sort | uniq"},
	} {
		if got, err := commandWords(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v, want %q", text, got, err, want)
		}
	}
	for name, want := range map[string]string{
		"exec:":                "no command",
		"exec:  ":              "no command",
		"exec:a 'b":            "put quotes around",
		"exec:a | b":           "only a shell understands",
		"exec:a; b":            "only a shell understands",
		"exec:a > b":           "only a shell understands",
		"exec:(a)":             "put quotes around",
		"exec:no-such-program": "executable file not found",
	} {
		_, err := Open(t.Context(), name, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
		if reach := Reach(t.Context(), name, Options{}); reach == nil {
			t.Errorf("%q was reached", name)
		}
	}
}

// TestCommandPython runs a script that does not flush, which Python would buffer.
func TestCommandPython(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("there is no python3")
	}
	script := filepath.Join(t.TempDir(), "length.py")
	err := os.WriteFile(script, []byte("import json, sys\nfor line in sys.stdin:\n"+
		"    print(len(json.loads(line)['response']))\n"), 0o644)
	if err != nil {
		t.Fatal(err)
	}
	r := mustOpen(t, "exec:python3 "+script, Options{Timeout: 20 * time.Second})
	rewardertest.Test(t, r, rewardertest.Options{})
}
