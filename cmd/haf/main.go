// Command haf trains, evaluates and uses reward models. This package parses flags, wires the
// packages together and chooses the exit code; it decides nothing.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/alecthomas/kong"

	"haf/backend"
	"haf/internal/flagvalues"
	"haf/internal/interrupt"
	"haf/internal/message"
	"haf/internal/onedash"
	"haf/internal/progress"
	"haf/launch"
	"haf/recipe"
	"haf/rewarder"
	"haf/rewarder/source"
	"haf/run"
)

// Exit codes.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitGate        = 3 // an evaluation is below its gate, or a plan does not fit
	exitInterrupted = 130
)

var errGate, errUsage = launch.ErrGate, launch.ErrUsage

// cli is the command line.
type cli struct {
	Device string `help:"Device: auto, cpu, cuda, go, or the path of a PJRT plug-in. With ,data=N,shard=N a mesh of several." default:"auto" env:"HAF_DEVICE"`
	JSON   bool   `name:"json" help:"Print results as JSON on standard output."`
	Quiet  bool   `help:"Print only results, warnings and errors, no progress and no summary of the data."`

	Demo    demoCmd    `cmd:"" help:"Train, evaluate and compare on a built-in model and data set, without downloads."`
	Setup   setupCmd   `cmd:"" help:"Find or install the XLA plug-in and check it."`
	Init    initCmd    `cmd:"" help:"Inspect data and a model, and write a recipe for them that fits into memory."`
	Train   trainCmd   `cmd:"" help:"Train a reward model from a recipe into a run folder."`
	Eval    evalCmd    `cmd:"" help:"Measure accuracy and margin on preferences, with intervals."`
	Score   scoreCmd   `cmd:"" help:"Print the rewards of one response, or of a file of responses."`
	Explain explainCmd `cmd:"" help:"Show each token's contribution to the implicit reward of a response, as colour."`
	Serve   serveCmd   `cmd:"" help:"Serve rewards over HTTP, in the dialects of RL trainers."`
	Data    dataCmd    `cmd:"" help:"Summarize preference files: counts, lengths, duplicates, conflicts, overlap."`
	Bench   benchCmd   `cmd:"" help:"Measure the speed and memory of training and scoring."`
	Merge   mergeCmd   `cmd:"" help:"Merge an adapter into its model's weights, or average several models."`

	Track   trackCmd   `cmd:"" help:"Send the records of a run to TensorBoard, MLflow or Weights & Biases."`
	UI      uiCmd      `cmd:"" name:"ui" help:"Show runs, pairs and single responses in a browser on this machine."`
	Report  reportCmd  `cmd:"" help:"Write a page about one or more runs: a verdict, results, curves, settings."`
	Paper   paperCmd   `cmd:"" help:"Rerun the paper's experiments from a grid: cells, tables, a page with a verdict."`
	Compare compareCmd `cmd:"" help:"Train Baseline, HaF and DPO within a time budget, and say which to use and how certain that is."`
	Combine combineCmd `cmd:"" help:"Fit weights that combine a run's two heads into one reward."`

	Generate generateCmd `cmd:"" help:"Sample responses to prompts from a model's policy head or a server."`
	Rank     rankCmd     `cmd:"" help:"Rank several samples of each prompt by reward, and measure the best-of-n curve."`
	Judge    judgeCmd    `cmd:"" help:"Compare outputs with a language model or a gold reward model: win rates, rankings."`
	Relabel  relabelCmd  `cmd:"" help:"Relabel pairs, build pairs from samples, or have a judge label pairs on which the heads disagree."`
	RLHF     rlhfCmd     `cmd:"" name:"rlhf" help:"Optimize a policy against a reward model by PPO, RLOO or GRPO."`
	Join     joinCmd     `cmd:"" help:"Join the parts of work that -shard divided: score, generate, rank, judge, relabel."`
	Push     pushCmd     `cmd:"" help:"Send a model and its card to the Hugging Face hub."`
	Export   exportCmd   `cmd:"" help:"Write the policy head as a causal language model."`

	Recipes    recipesCmd    `cmd:"" help:"List the recipes that come with haf, or print one."`
	Version    versionCmd    `cmd:"" help:"Print the build, the installed plug-ins and the device."`
	Completion completionCmd `cmd:"" help:"Print a script that completes haf's command line in a shell."`
	Complete   completeCmd   `cmd:"" name:"__complete" hidden:""`

	Doctor  doctorCmd  `cmd:"" help:"Look for faults of a run, a model or preference data."`
	Inspect inspectCmd `cmd:"" help:"Describe a model: sizes, heads, tokenizer, template, and possible problems."`
}

// app is the environment of a command.
type app struct {
	ctx            context.Context
	stdout, stderr io.Writer
	p              *progress.Printer // on stderr
	deviceName     string
	json           bool
	command        *kong.Context
}

// print writes a result to standard output, as JSON or with text.
func (a *app) print(result any, text func(w io.Writer) error) error {
	if !a.json {
		return text(a.stdout)
	}
	return printJSON(a, result)
}

func printJSON(a *app, result any) error {
	encoder := json.NewEncoder(a.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}

// done reports the result of a verb: as JSON on standard output, or as a line on standard error.
func (a *app) done(result any, format string, args ...any) error {
	return a.print(result, func(io.Writer) error {
		_, err := fmt.Fprintf(a.stderr, format+"\n", args...)
		return err
	})
}

// path prints the path of the result if -quiet suppresses the line that names it.
func (a *app) path(path string) (err error) {
	if a.p.Quiet {
		_, err = fmt.Fprintln(a.stdout, path)
	}
	return err
}

// notef writes a note for the user to standard error.
func (a *app) notef(format string, args ...any) { a.p.Logf("haf: "+format, args...) }

// openBackend opens a device. A test that runs many commands in one process keeps it open.
var openBackend = backend.Open

// openDevice opens the chosen device and reports if it is the slow one.
func (a *app) openDevice() (*backend.Device, error) {
	device, err := openBackend(a.deviceName)
	if err != nil {
		return nil, err
	}
	if hint := device.Hint(); hint != "" {
		fmt.Fprintln(a.stderr, "haf: "+hint)
	}
	return device, nil
}

func main() {
	backend.Main()
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// exited carries the exit code that kong asks for, after -help, out of its parser.
type exited int

// execute runs the command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	slog.SetDefault(slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	var c cli
	command, code, err := parse(&c, args, stdout, stderr)
	if of := (*fs.PathError)(nil); errors.As(err, &of) && of.Op == "write" { // while printing help
		fmt.Fprintln(stderr, "haf:", message.Of(of))
		return exitFailed
	}
	if err != nil {
		fmt.Fprintln(stderr, "haf:", message.Of(err, message.Given(args)...))
		return exitUsage
	}
	if command == nil {
		return code
	}
	ctx, stop := interrupt.Context(stderr, exitInterrupted)
	defer stop()
	p := progress.New(stderr)
	p.Quiet = c.Quiet
	if err = flagvalues.CheckNew(command); err == nil {
		err = command.Run(&app{
			ctx: ctx, stdout: stdout, stderr: stderr, p: p, deviceName: c.Device, json: c.JSON,
			command: command,
		})
	}
	p.EndPhase() // an error may have ended a phase
	if err == nil {
		return exitDone
	}
	said := message.Of(err, message.Given(args)...)
	switch {
	case errors.Is(err, run.ErrInterrupted), errors.Is(err, context.Canceled):
		code = exitInterrupted
	case errors.Is(err, errGate):
		code = exitGate
	case errors.Is(err, errUsage), errors.Is(err, recipe.ErrOverride),
		errors.Is(err, rewarder.ErrNoCommonReward), errors.Is(err, source.ErrName):
		code = exitUsage
	default:
		code = exitFailed
	}
	fmt.Fprintln(stderr, "haf:", said)
	return code
}

// parse reads the command line. If it printed help instead, the command is nil and code is the exit
// code.
func parse(
	c *cli, args []string, stdout, stderr io.Writer,
) (command *kong.Context, code int, err error) {
	defer func() { // around kong only, because a command's panic is no exit
		switch e := recover().(type) {
		case nil:
		case exited:
			command, code = nil, int(e)
		default:
			panic(e)
		}
	}()
	parser, err := kong.New(c, kong.Name("haf"),
		kong.Description("Reward models by the hybrid objective: trained, evaluated and used."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Help(helpWithExample))
	if err != nil {
		return nil, exitUsage, err
	}
	command, err = parser.Parse(onedash.Double(onedash.Habits(args),
		onedash.ValueFlags(parser.Model.Node)))
	if err == nil {
		err = flagvalues.Check(command)
	}
	return command, exitUsage, onedash.Explain(err, command)
}
