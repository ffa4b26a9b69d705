// Growth measures how the time and memory of training grow with sequence length, adapter rank and
// depth, and how reading, tokenizing and packing grow with the number of pairs. Each measurement is
// a process, `haf bench -one`, whose result becomes a line of a JSON file. Growth then makes a page
// with tables and a plot from that file. `make growth` runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	s := &study{scale: full}
	reduced, drawOnly := false, false
	flags.StringVar(&s.haf, "haf", "bin/haf", "the program")
	flags.StringVar(&s.model, "model", "", "folder of the model, for its sizes, its tokenizer and, "+
		"except for the series of depths, its weights")
	flags.StringVar(&s.data, "data", "", "preferences that supply the texts of the pairs")
	flags.StringVar(&s.dir, "work", "", "folder for models and pairs; empty: a temporary "+
		"folder")
	flags.StringVar(&s.results, "results", "docs/dev/growth.jsonl",
		"results, one per line; new results are appended")
	page := flags.String("page", "docs/dev/growth.md", "page; its plot goes beside it, with the "+
		"extension .svg")
	flags.BoolVar(&reduced, "reduced", false, "fewer and smaller cases on a model of four layers, to "+
		"show that the measurement works")
	flags.BoolVar(&drawOnly, "draw", false,
		"make the page from the existing results, without measuring")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if reduced {
		s.scale = small
	}
	if !drawOnly {
		if s.model == "" || s.data == "" {
			return errors.New("-model and -data are required")
		}
		if err := s.measure(ctx); err != nil {
			return err
		}
	}
	results, err := readResults(s.results)
	if err != nil {
		return err
	}
	return writePage(*page, results)
}
