package main

import (
	"fmt"
	"io"

	"haf/backend"
	"haf/hub"
	"haf/recipe"
)

// planOutput is what -plan prints with -json.
type planOutput struct {
	*recipe.RunEstimate
	AvailableSource string `json:"available_source,omitempty"` // what says how much memory there is
	Total           int64  `json:"total"`                      // bytes
}

// plan says what a run will need and runs nothing; where it does not fit, the gate is not met.
// Memory is the host's: what a device with memory of its own has left is not asked.
func (c *trainCmd) plan(a *app) error {
	r, err := recipe.Load(c.Recipe, c.Set)
	if err != nil {
		return err
	}
	client, err := a.hub()
	if err != nil {
		return err
	}
	if err := r.Fetch(a.ctx, client); err != nil {
		return err
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		fmt.Fprintf(a.stderr, "haf: %v: nothing to compare the need with\n", err)
	}
	p, err := r.EstimateIn(available.Bytes)
	if err != nil {
		return err
	}
	total := p.Run.Memory.Total()
	err = a.print(planOutput{p, available.Source, total}, func(w io.Writer) error {
		return p.Write(w, available.Bytes, available.Source)
	})
	if err == nil && !p.Fits {
		err = fmt.Errorf("%w: the run needs %s, there are %s (%s): lower a setting, or wait for "+
			"memory", errGate, hub.Bytes(total), hub.Bytes(available.Bytes), available.Source)
	}
	return err
}
