package completion_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"haf/internal/completion"
)

type cli struct {
	Device string `help:"d"`
	Train  struct {
		Recipe string   `arg:"" optional:""`
		Set    []string `help:"s"`
		Plan   bool     `help:"p"`
		Mode   string   `enum:"fast,slow" default:"fast" help:"m"`
	} `cmd:""`
	Track struct{} `cmd:""`
	Other struct{} `cmd:"" name:"__other" hidden:""`
}

func source(verb, name string) []string {
	switch verb + " " + name {
	case "train ":
		return []string{"grm", "hh-helpful"}
	case "train set":
		return []string{"train.batch=", "train.lr="}
	}
	return nil
}

func TestCandidates(t *testing.T) {
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"":                         "train track",
		"tr":                       "train track",
		"tra":                      "train track",
		"trac":                     "track",
		"_":                        "",
		"-":                        "-device -help",
		"train ":                   "grm hh-helpful",
		"train h":                  "hh-helpful",
		"train -":                  "-device -help -mode -plan -set",
		"train --pl":               "--plan",
		"train grm -set ":          "train.batch= train.lr=",
		"train grm -set train.l":   "train.lr=",
		"train -mode ":             "fast slow",
		"train -mode fast ":        "grm hh-helpful",
		"train -plan ":             "grm hh-helpful",
		"-device cpu tr":           "train track",
		"-device ":                 "",
		"track ":                   "",
		"unknown -device cpu trai": "train",
	} {
		got := strings.Join(completion.Candidates(parser.Model.Node, strings.Split(line, " "), source),
			" ")
		if got != want {
			t.Errorf("%q has %q, want %q", line, got, want)
		}
	}
	if got := completion.Candidates(parser.Model.Node, nil, source); len(got) != 2 {
		t.Errorf("no words have %q", got)
	}
}

// TestScripts runs the script of every shell that is installed: bash completes by it, the others
// check its syntax.
func TestScripts(t *testing.T) {
	if got := completion.Shells(); !slices.Equal(got, []string{"bash", "fish", "zsh"}) {
		t.Errorf("shells %q", got)
	}
	if _, err := completion.Script("csh"); err == nil || !strings.Contains(err.Error(), "fish") {
		t.Errorf("csh: %v", err)
	}
	dir := t.TempDir()
	haf := "#!/bin/sh\nshift 2\nprintf '%s\\n' \"$#\" \"train.lr=\"\n"
	if err := os.WriteFile(filepath.Join(dir, "haf"), []byte(haf), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, shell := range completion.Shells() {
		script, err := completion.Script(shell)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := exec.LookPath(shell); err != nil {
			t.Logf("%s is not installed", shell)
			continue
		}
		file := filepath.Join(dir, shell)
		if shell == "bash" {
			script += "COMP_WORDS=(haf train 'a b' '')\nCOMP_CWORD=3\n_haf\n" +
				"printf '%s|' \"${COMPREPLY[@]}\"\n"
		}
		if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
		args := []string{"-n", file}
		if shell == "bash" {
			args = args[1:]
		}
		out, err := exec.Command(shell, args...).CombinedOutput()
		if err != nil || shell == "bash" && string(out) != "3|train.lr=|" {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
}
