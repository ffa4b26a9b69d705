package main

import (
	"fmt"

	"haf/publish"
)

type pushCmd struct {
	Model    string `arg:"" help:"Run or model folder."`
	ID       string `arg:"" name:"id" help:"Repository on the hub, org/name; created if needed."`
	Private  bool   `help:"Create the repository as a private one; refuse one that is public."`
	Revision string `default:"main" help:"Branch; created if needed."`
	Message  string `help:"Commit message. Default: Upload a model by haf."`
	Base     string `placeholder:"ID" help:"Id of the base model, if the model names it by a folder."`
	DryRun   bool   `name:"dry-run" help:"List the files that would be sent, without sending them."`
}

// Run sends a model to the hub.
func (c *pushCmd) Run(a *app) error {
	o := publish.Options{ID: c.ID, Revision: c.Revision, Private: c.Private, Message: c.Message,
		Base: c.Base, DryRun: c.DryRun}
	if err := o.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	sent, err := publish.Push(a.ctx, client, c.Model, o)
	for _, note := range sent.Messages {
		a.notef("%s", note)
	}
	if err != nil {
		return err
	}
	return a.print(sent, sent.Write)
}
