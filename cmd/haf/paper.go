package main

import (
	"cmp"
	"time"

	"haf/backend"
	"haf/hub"
	"haf/launch"
	"haf/paper"
)

type paperCmd struct {
	Recipe  string        `arg:"" help:"Grid of cells: a TOML file, or a name that haf recipes lists."`
	Out     string        `help:"Folder for the cells and the page. Default: runs/ and the grid's name."`
	Plan    bool          `help:"List the cells with an estimate of time and memory, without fetching or training; exit code 3 if they do not fit into memory."`
	Results string        `help:"Folder for results.jsonl and the page, README.md. Default: page/ under -out."`
	Time    time.Duration `range:"[0,inf)" help:"Stop at a checkpoint after this time, such as 2h. The same command resumes. Default: never."`
	Only    []string      `help:"Only the cells of this table; may be repeated." sep:"none"`
	Page    bool          `help:"Make the page from the finished cells, without training."`
	// Sets and base model of the grid that are elsewhere.
	Model string            `help:"Base model instead of the grid's: a folder or an id on the hub."`
	Files map[string]string `name:"file" help:"Read a set of the grid from another path: SET=PATH; may be repeated." mapsep:"none"`
}

// Run trains and evaluates the grid's unfinished cells, then makes the page.
func (c *paperCmd) Run(a *app) error {
	grid, err := paper.Load(c.Recipe)
	if err != nil {
		return err
	}
	if err := grid.Replace(c.Model, c.Files); err != nil {
		return err
	}
	if c.Out == "" {
		c.Out = launch.DefaultDir(c.Recipe)
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	if c.Plan {
		client.Offline = true
		return c.plan(a, grid, client)
	}
	out, err := grid.Make(a.ctx, paper.Options{
		Dir: c.Out, Results: c.Results, Time: c.Time, Only: c.Only, PageOnly: c.Page,
		Note: c.note(),
		Hub:  client, Runner: &paper.Local{Open: a.env}, Logf: a.p.Logf,
	})
	if err != nil {
		return err
	}
	if err := a.print(out, out.Write); err != nil {
		return err
	}
	return out.Err()
}

// note returns the line of the page that repeats the command.
func (c *paperCmd) note() string {
	note := "Command: haf paper " + c.Recipe
	if c.Results != "" {
		note += " -results " + c.Results
	}
	return note
}

// plan lists the cells and estimates their time and memory. It returns an error only if the need is
// known to exceed the available memory.
func (c *paperCmd) plan(a *app, grid *paper.Grid, client *hub.Client) error {
	look, err := grid.Look(a.ctx, client, c.Out, c.Results, c.Only)
	if err != nil {
		return err
	}
	var available backend.Memory
	if look.Need != nil {
		if available, err = backend.AvailableMemory(); err != nil {
			a.notef("%v: nothing to compare the need with", err)
		}
	}
	return cmp.Or(a.print(look.Outcome(available.Bytes), look.Write),
		look.Err(available.Bytes, available.Source))
}
