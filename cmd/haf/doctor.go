package main

import (
	"errors"
	"fmt"

	"haf/doctor"
)

type doctorCmd struct {
	Path    string   `arg:"" help:"Run folder, model (folder, GGUF file, hub id) or preference file."`
	Against []string `help:"For data: files that must share no prompt with it, such as the test set; may be repeated." sep:"none"`
	pairFlags
	columnFlag
	chatFlags
}

// Run reports the faults of a run, a model or data. Problems give exit code 3, as a missed gate
// does.
func (c *doctorCmd) Run(a *app) error {
	chat, err := c.chatFlags.options()
	if err != nil {
		return err
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	report, err := doctor.Examine(a.ctx, c.Path, doctor.Options{
		Against: c.Against, Data: c.pairOptions(), Chat: chat,
		Column: c.Column, Hub: client, OpenDevice: a.openDevice,
	})
	if errors.Is(err, doctor.ErrNotData) {
		return fmt.Errorf("%w: -against is for data, as is -columns or whatever says how rows "+
			"are read, and %w", errUsage, err)
	}
	if err != nil {
		return err
	}
	if err := a.print(report, report.Write); err != nil {
		return err
	}
	if n := report.Problems(); n > 0 {
		return fmt.Errorf("%w: %d problems found", errGate, n)
	}
	return nil
}
