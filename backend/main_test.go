package backend

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
)

// childEnv makes the test program play the part of a program of haf: after Prepare it does what the value says.
const childEnv = "HAF_TEST_CHILD"

func TestMain(m *testing.M) {
	if err := Prepare(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if what := os.Getenv(childEnv); what != "" {
		if err := child(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(what string) error {
	switch what {
	case "environment":
		again := Prepare() // a second call must do nothing
		marked, _, _ := strings.Cut(os.Getenv(preparedEnv), ":")
		fmt.Printf("again=%v executed=%v tunables=%q args=%q\n", again, marked == strconv.Itoa(os.Getpid()), os.Getenv(tunablesEnv), os.Args[1:])
		return nil
	case "faults":
		return printFaults()
	}
	return fmt.Errorf("unknown part %q", what)
}

// runChild starts the test program in a part, with an environment of its own, and returns what it printed.
func runChild(t *testing.T, what string, env ...string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a loop would end here
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "one", "two words")
	cmd.Env = append(os.Environ(), childEnv+"="+what, tunablesEnv+"=", noReexecEnv+"=")
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("child %s: %v\n%s", what, err, out)
	}
	return string(out)
}

// printFaults runs a program with a 64 MB temporary several times and prints the page faults that an execution
// costs once everything is warm.
func printFaults() error {
	d, err := Open("cpu")
	if err != nil {
		return err
	}
	defer d.Finalize()
	const n, k, warm, runs = 4096, 8, 5, 20
	tall, wide := shapes.Make(dtypes.Float32, n, k), shapes.Make(dtypes.Float32, k, n)
	b := d.Backend.Builder("faults")
	f := b.Main()
	x, err := f.Parameter("x", tall, nil)
	if err != nil {
		return err
	}
	y, err := f.Parameter("y", wide, nil)
	if err != nil {
		return err
	}
	big, err := f.DotGeneral(x, []int{1}, nil, y, []int{0}, nil, compute.DotGeneralConfig{}) // [n, n]
	if err != nil {
		return err
	}
	small, err := f.DotGeneral(big, []int{1}, nil, x, []int{0}, nil, compute.DotGeneralConfig{}) // [n, k]
	if err != nil {
		return err
	}
	if err := f.Return([]compute.Value{small}, nil); err != nil {
		return err
	}
	e, err := b.Compile()
	if err != nil {
		return err
	}
	args := make([]compute.Buffer, 2)
	for i, shape := range []shapes.Shape{tall, wide} {
		if args[i], err = d.Backend.BufferFromFlatData(0, make([]float32, n*k), shape); err != nil {
			return err
		}
	}
	var before int64
	var start time.Time
	for i := range warm + runs {
		if i == warm {
			before, start = minorFaults(), time.Now()
		}
		out, err := e.Execute(args, []bool{false, false}, 0)
		if err != nil {
			return err
		}
		if err := out[0].Finalize(); err != nil {
			return err
		}
	}
	fmt.Printf("faults %d microseconds %d\n", (minorFaults()-before)/runs, time.Since(start).Microseconds()/runs)
	return nil
}
