package main

import (
	"fmt"

	"haf/backend"
	"haf/reward"
)

// columnFlag is shared by the verbs that read a reward.
type columnFlag struct {
	Column string `placeholder:"LABEL" help:"Label of the reward: index, name or sum (0.7*a + 0.3*b)."`
}

func (c columnFlag) column() string { return c.Column }

// openLocal opens a model on disk and says what was done to its score head, for rewards that differ from the stored head's.
func (a *app) openLocal(device *backend.Device, path string, opt reward.Options) (*reward.Model, error) {
	model, err := reward.Open(device, path, opt)
	if err != nil {
		return nil, err
	}
	if model.HeadFold != "" {
		fmt.Fprintf(a.stderr, "haf: the rewards of %s are normalized as its config.json asks: %s\n", path, model.HeadFold)
	}
	for _, note := range model.FormatNotes() {
		fmt.Fprintf(a.stderr, "haf: %s: %s\n", path, note)
	}
	return model, nil
}
