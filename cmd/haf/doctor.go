package main

import (
	"fmt"
	"os"
	"strings"

	"haf/doctor"
	"haf/pref"
	"haf/reward"
)

type doctorCmd struct {
	Path    string   `arg:"" help:"Run folder, model (folder, GGUF file, hub id) or preference file."`
	Against []string `help:"For data: files that must share no prompt with it, such as the test set; may be repeated." sep:"none"`
	Format  string   `default:"auto" help:"For data: its format, as of haf data."`
	chatFlags
}

// Run reports what is wrong with a run, a model or data. Problems end it with the exit code of a
// gate.
func (c *doctorCmd) Run(a *app) error {
	report, err := c.examine(a)
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

func (c *doctorCmd) examine(a *app) (*doctor.Report, error) {
	kind := doctor.KindModel
	if strings.HasPrefix(c.Path, "datasets/") {
		kind = doctor.KindData
	}
	if _, err := os.Stat(c.Path); err == nil { // else it is on the hub
		if kind, err = doctor.KindOf(c.Path); err != nil {
			return nil, err
		}
	}
	if kind != doctor.KindData && len(c.Against) > 0 {
		return nil, fmt.Errorf("%w: -against is for data, and %s is a %s", errUsage, c.Path, kind)
	}
	switch kind {
	case doctor.KindRun:
		return doctor.Run(c.Path)
	case doctor.KindModel:
		return c.examineModel(a)
	}
	paths, err := a.data([]string{c.Path})
	if err != nil {
		return nil, err
	}
	others, err := a.data(c.Against)
	if err != nil {
		return nil, err
	}
	return doctor.Data(paths, others, pref.Options{Format: c.Format})
}

func (c *doctorCmd) examineModel(a *app) (*doctor.Report, error) {
	chat, err := c.chatFlags.options()
	if err != nil {
		return nil, err
	}
	client, err := a.hub()
	if err != nil {
		return nil, err
	}
	model, err := client.Model(a.ctx, c.Path)
	if err != nil {
		return nil, err
	}
	device, err := a.openDevice()
	if err != nil {
		return nil, err
	}
	return doctor.Model(a.ctx, device, model.Paths[0], reward.Options{Chat: chat})
}
