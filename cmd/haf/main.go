// Command haf trains, evaluates, serves and uses reward models. This package parses flags, wires the packages
// together and chooses the exit code; it decides nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"haf/backend"
	"haf/train"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitGate        = 3 // a gate of the evaluation was not met
	exitInterrupted = 130
)

// errGate is returned when an evaluation is below its gate.
var errGate = errors.New("gate not met")

// cli is the command line.
type cli struct {
	Device string `help:"Where to run: auto, cpu, cuda, go, or the path of a PJRT plug-in." default:"auto" env:"HAF_DEVICE"`
	JSON   bool   `name:"json" help:"Results as JSON on standard output."`

	Demo  demoCmd  `cmd:"" help:"All of it on a built-in model and data set, without downloads."`
	Setup setupCmd `cmd:"" help:"Find or install the XLA plug-in, check it, and say what was found."`
	Train trainCmd `cmd:"" help:"Train a reward model from a recipe into a run folder."`
	Eval  evalCmd  `cmd:"" help:"Accuracy and margin on preferences, with intervals."`
	Score scoreCmd `cmd:"" help:"Rewards of one response or a file of them."`
	Merge mergeCmd `cmd:"" help:"Write an adapter's model with the adapter merged into its weights."`
}

// app is what a command works with.
type app struct {
	ctx            context.Context
	stdout, stderr io.Writer
	deviceName     string
	json           bool
}

// openDevice opens the chosen device and says if it is the slow one.
func (a *app) openDevice() (*backend.Device, error) {
	device, err := backend.Open(a.deviceName)
	if err != nil {
		return nil, err
	}
	if hint := device.Hint(); hint != "" {
		fmt.Fprintln(a.stderr, "haf: "+hint)
	}
	return device, nil
}

func main() {
	if err := backend.Prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "haf: warning:", err)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// exited carries kong's wish to exit, after -help, out of its parser.
type exited int

// run executes the command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) (code int) {
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	defer func() {
		if e, ok := recover().(exited); ok {
			code = int(e)
		}
	}()
	var c cli
	parser, err := kong.New(&c, kong.Name("haf"), kong.Description("Reward models by the hybrid objective: trained, evaluated, served and used."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(stderr, "haf:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(doubleDashes(args))
	if err != nil {
		fmt.Fprintf(stderr, "haf: %v; haf -help lists the verbs, haf VERB -help the flags\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err = parsed.Run(&app{ctx: ctx, stdout: stdout, stderr: stderr, deviceName: c.Device, json: c.JSON})
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, train.ErrInterrupted), errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "haf:", err)
		return exitInterrupted
	case errors.Is(err, errGate):
		fmt.Fprintln(stderr, "haf:", err)
		return exitGate
	default:
		fmt.Fprintln(stderr, "haf:", err)
		return exitFailed
	}
}

// doubleDashes lets flags be written with one dash, as in haf eval -data FILE: haf has no one-letter flags.
func doubleDashes(args []string) []string {
	out := make([]string, 0, len(args))
	for i, arg := range args {
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] >= 'a' && arg[1] <= 'z' && !strings.HasPrefix(arg, "--") {
			arg = "-" + arg
		}
		out = append(out, arg)
	}
	return out
}
