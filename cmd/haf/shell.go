package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"haf/backend"
	"haf/internal/completion"
	"haf/recipe"
	"haf/recipes"
)

type recipesCmd struct {
	Name string `arg:"" optional:"" help:"Print this recipe, as a start for one of your own."`
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

// versionOutput is what -json prints.
type versionOutput struct {
	Version  string           `json:"version"`
	Revision string           `json:"revision"` // of the source; "" where the build does not know it
	Go       string           `json:"go"`
	Platform string           `json:"platform"`
	Device   string           `json:"device"`
	Plugins  []backend.Plugin `json:"plugins"`
}

// Run says what was built, which plug-ins are installed and which device haf would use.
func (*versionCmd) Run(a *app) error {
	built := recipe.Versions()
	out := versionOutput{Version: built["haf"], Revision: built["revision"], Go: built["go"],
		Platform: built["platform"], Plugins: []backend.Plugin{}}
	found, err := backend.Find("")
	if err != nil {
		return err
	}
	out.Plugins = append(out.Plugins, found...)
	device, failed := backend.Open(a.deviceName)
	if failed != nil {
		out.Device = "none"
	} else {
		out.Device = device.Describe()
	}
	err = a.print(out, func(w io.Writer) error {
		fmt.Fprintf(w, "haf %s %s\n%s, %s\n", out.Version, out.Revision, out.Go, out.Platform)
		for _, p := range out.Plugins {
			fmt.Fprintf(w, "plug-in: %s %s, %s, %s\n", p.Kind, p.Version, p.Origin, p.Path)
		}
		_, err := fmt.Fprintf(w, "device: %s\n", out.Device)
		return err
	})
	return errors.Join(err, failed)
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

// completeCmd is what the scripts of completion call.
type completeCmd struct {
	Words []string `arg:"" optional:"" passthrough:"" help:"Words of the line."`
}

// Run prints what may stand in place of the last word, a line each.
func (c *completeCmd) Run(a *app, root *kong.Kong) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	for _, candidate := range completion.Candidates(root.Model.Node, words, candidates) {
		if _, err := fmt.Fprintln(a.stdout, candidate); err != nil {
			return err
		}
	}
	return nil
}

// candidates are the values that haf knows of arguments and flags.
func candidates(verb, flag string) (values []string) {
	switch flag {
	case "device":
		return []string{"auto", "cpu", "cuda", "go"}
	case "set":
		for _, key := range recipe.Keys() {
			values = append(values, key+"=")
		}
	case "":
		for _, r := range recipes.List() {
			if r.Verb == verb || verb == "recipes" {
				values = append(values, r.Name)
			}
		}
	}
	return values
}
