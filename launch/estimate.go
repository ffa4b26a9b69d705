package launch

import (
	"context"
	"fmt"
	"io"

	"haf/backend"
	"haf/hub"
	"haf/recipe"
)

// An Estimate is what a training will need, and the memory that there is.
type Estimate struct {
	*recipe.RunEstimate
	AvailableSource string `json:"available_source,omitempty"` // what says how much memory there is
	Total           int64  `json:"total"`                      // bytes
}

// EstimateTraining says what the training of a recipe will need and runs nothing. Memory is the
// host's: that of other devices is not asked. notef is told if the host does not tell it.
func EstimateTraining(
	ctx context.Context, client *hub.Client, name string, sets []string,
	notef func(format string, args ...any),
) (Estimate, error) {
	r, err := recipe.Load(name, sets)
	if err != nil {
		return Estimate{}, err
	}
	if err := r.Fetch(ctx, client); err != nil {
		return Estimate{}, err
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		notef("%v: nothing to compare the need with", err)
	}
	p, err := r.EstimateIn(available.Bytes)
	if err != nil {
		return Estimate{}, err
	}
	return Estimate{p, available.Source, p.Run.Memory.Total()}, nil
}

// Write writes the estimate as text.
func (e Estimate) Write(w io.Writer) error {
	return e.RunEstimate.Write(w, e.Available, e.AvailableSource)
}

// Err is an [ErrGate] if the run does not fit into memory.
func (e Estimate) Err() error {
	if e.Fits {
		return nil
	}
	return fmt.Errorf("%w: the run needs %s, there are %s (%s): lower a setting, or wait for "+
		"memory", ErrGate, hub.Bytes(e.Total), hub.Bytes(e.Available), e.AvailableSource)
}
