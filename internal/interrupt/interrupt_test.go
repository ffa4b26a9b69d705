package interrupt

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"haf/internal/durable"
)

// TestMain is, for a test that starts it anew, a command of the kind that $COMMAND names. Each says
// that it works, and works on at the signal.
func TestMain(m *testing.M) {
	if os.Getenv("COMMAND") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := Context(os.Stderr, 77)
	release := func() {}
	switch os.Getenv("COMMAND") {
	case "saves":
		release = Hold()
		fallthrough
	case "ends":
		fmt.Println("works")
		<-ctx.Done()
		time.Sleep(patience + patience/3)
		fmt.Fprintln(os.Stderr, "saved")
		release()
	case "writes":
		_ = durable.WriteFolder("folder", ".folder-", func(dir string) error {
			f, err := durable.Create(filepath.Join(dir, "file"))
			fmt.Println("works")
			<-ctx.Done()
			time.Sleep(time.Minute)
			return fmt.Errorf("%v %v", f, err)
		})
	}
	stop()
	os.Exit(5)
}

// TestContext sends commands a signal, or two: they save first, or are ended and leave nothing.
func TestContext(t *testing.T) {
	for _, c := range []struct {
		name, command string
		twice         bool
		code          int // -1: by a signal
		said          string
	}{
		{"saves first", "saves", false, 5, "haf: interrupted: saving first; a second signal ends haf " +
			"at once\nsaved\n"},
		{"twice", "saves", true, -1, ""},
		{"does not end", "ends", false, 77, "haf: interrupted\n"},
		{"writes", "writes", false, 77, "haf: interrupted\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			var stderr bytes.Buffer
			cmd.Dir, cmd.Stderr = t.TempDir(), &stderr
			cmd.Env = append(os.Environ(), "COMMAND="+c.command)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if _, err := out.Read(make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
			signal := func() {
				if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
					t.Error(err)
				}
			}
			signal()
			if c.twice {
				time.Sleep(patience / 3)
				signal()
			}
			_ = cmd.Wait() // the exit code is looked at
			if code := cmd.ProcessState.ExitCode(); code != c.code || stderr.String() != c.said {
				t.Errorf("exit code %d, want %d; says %q, want %q", code, c.code, &stderr, c.said)
			}
			left, err := os.ReadDir(cmd.Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("%v was left, %v", left, err)
			}
		})
	}
}
