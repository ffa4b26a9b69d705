package main

import (
	_ "embed"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

//go:embed examples.txt
var exampleText string

// examples end the help of the verbs and appear in docs/reference/commands.md. Their file has a
// block per verb: its name and a colon, then its lines.
var examples = func() map[string]string {
	all := map[string]string{}
	for block := range strings.SplitSeq(strings.TrimSpace(exampleText), "\n\n") {
		verb, lines, _ := strings.Cut(block, ":\n")
		all[verb] = lines
	}
	return all
}()

// helpWithExample prints kong's help. Below the help of a verb it prints the verb's examples.
func helpWithExample(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	verb := ctx.Selected()
	if verb == nil || examples[verb.Name] == "" {
		return nil
	}
	_, err := fmt.Fprintf(ctx.Stdout, "\nExample:\n  %s\n",
		strings.ReplaceAll(examples[verb.Name], "\n", "\n  "))
	return err
}
