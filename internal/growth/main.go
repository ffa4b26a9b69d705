// Growth measures how time and memory grow with what is trained: sequence length, adapter rank and
// depth, and how reading, tokenizing and packing grow with the number of pairs. Each measurement is
// a process of its own, `haf bench -one`; its result becomes a line of a JSON file, of which a page
// with tables and a plot is made. `make growth` runs it.
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
	flags.StringVar(&s.model, "model", "", "folder of the model: its sizes, tokenizer and, where "+
		"depth does not vary, its weights")
	flags.StringVar(&s.data, "data", "", "preferences whose texts the pairs are made of")
	flags.StringVar(&s.dir, "work", "", "folder for models and pairs; empty: a temporary one, "+
		"removed at the end")
	flags.StringVar(&s.results, "results", "docs/dev/growth.jsonl",
		"results, a line each; new ones are added")
	page := flags.String("page", "docs/dev/growth.md", "page; its plot lies beside it, with the "+
		"ending .svg")
	flags.BoolVar(&reduced, "reduced", false, "fewer and smaller cases, on a model of four layers: "+
		"shows that it works")
	flags.BoolVar(&drawOnly, "draw", false,
		"make the page of the results that are there, measure nothing")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if reduced {
		s.scale = small
	}
	if !drawOnly {
		if s.model == "" || s.data == "" {
			return errors.New("-model and -data are wanted")
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
