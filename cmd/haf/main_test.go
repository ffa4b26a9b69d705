package main

import (
	"errors"
	"io"
	"os"
	"testing"

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
