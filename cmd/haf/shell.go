package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"haf/internal/completion"
	"haf/launch"
	"haf/recipes"
)

type recipesCmd struct {
	Name string `arg:"" optional:"" help:"Print this recipe, as a start for your own."`
}

// Run lists the recipes that come with haf, or prints one.
func (c *recipesCmd) Run(a *app) error {
	if c.Name != "" {
		text, err := recipes.Read(c.Name)
		if err != nil {
			return fmt.Errorf("%w: haf recipes lists the names", err)
		}
		_, err = a.stdout.Write(text)
		return err
	}
	return a.print(recipes.List(), func(w io.Writer) error {
		for _, r := range recipes.List() {
			if _, err := fmt.Fprintf(w, "haf %-5s %-22s %s\n", r.Verb, r.Name, r.Title); err != nil {
				return err
			}
		}
		return nil
	})
}

type versionCmd struct{}

// Run prints the build, the installed plug-ins and the device that haf would use.
func (*versionCmd) Run(a *app) error {
	out, err := launch.DescribeBuild(a.deviceName)
	if err != nil {
		return err
	}
	return errors.Join(a.print(out, out.Write), out.DeviceError)
}

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints the script that completes haf's command line in a shell.
func (c *completionCmd) Run(a *app) error {
	script, err := completion.Script(c.Shell)
	if err == nil {
		_, err = io.WriteString(a.stdout, script)
	}
	return err
}

// completeCmd is called by the completion scripts.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"Words of the line."`
}

// Run prints the possible completions of the last word, one per line.
func (c *completeCmd) Run(a *app, root *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, candidate := range completion.Candidates(root.Model.Node, words, completion.Values) {
		if _, err := fmt.Fprintln(a.stdout, candidate); err != nil {
			return err
		}
	}
	return nil
}
