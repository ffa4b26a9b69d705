package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"haf/backend"
)

// TestMain makes of the test program, when a script calls it by the name haf, the command itself.
func TestMain(m *testing.M) {
	backend.Main()
	testscript.Main(m, map[string]func(){
		"haf": func() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) },
	})
}

func TestDoubleDashes(t *testing.T) {
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	takesValue := valueFlags(parser.Model.Node)
	for _, test := range []struct{ args, want []string }{
		{[]string{"eval", "-data", "FILE"}, []string{"eval", "--data", "FILE"}},
		{[]string{"--data", "FILE", "-h"}, []string{"--data", "FILE", "-h"}},
		{[]string{"-data=FILE"}, []string{"--data=FILE"}},
		{[]string{"-prompt", "- one\n- two", "-response", "-yes"}, []string{"--prompt=- one\n- two", "--response=-yes"}},
		{[]string{"-prompt", "--yes"}, []string{"--prompt=--yes"}},
		{[]string{"-gate", "-1"}, []string{"--gate=-1"}},
		// a forgotten value stays an error
		{[]string{"-data", "-limit", "3"}, []string{"--data", "--limit", "3"}},
		{[]string{"-data", "--limit=3"}, []string{"--data", "--limit=3"}},
		{[]string{"-json", "-x"}, []string{"--json", "-x"}}, // takes no value
		{[]string{"-prompt"}, []string{"--prompt"}},
		{[]string{"score", "--", "-prompt", "-x"}, []string{"score", "--", "-prompt", "-x"}},
	} {
		if got := doubleDashes(test.args, takesValue); !slices.Equal(got, test.want) {
			t.Errorf("doubleDashes(%q) = %q, want %q", test.args, got, test.want)
		}
	}
}

// failingWriter lets help, which kong prints while it parses, panic.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { panic(errors.New("write")) }

// TestPanicIsNoSuccess: what carries kong's exit must not swallow a defect and return 0.
func TestPanicIsNoSuccess(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a panic was swallowed")
		}
	}()
	code := execute([]string{"-help"}, failingWriter{}, io.Discard)
	t.Errorf("execute returned %d", code)
}
