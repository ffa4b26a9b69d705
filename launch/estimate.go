package launch

import (
	"context"
	"fmt"
	"io"

	"haf/backend"
	"haf/hub"
	"haf/recipe"
)

// An Estimate is the estimated need of a training, with the available memory.
type Estimate struct {
	*recipe.RunEstimate
	AvailableSource string `json:"available_source,omitempty"` // source of the available memory
	Total           int64  `json:"total"`                      // bytes
}

// EstimateTraining estimates the need of a recipe's training without running it. Memory is the
// host's, not that of other devices. notef gets a note if the host does not report it.
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

// Err returns an [ErrGate] if the run does not fit into memory.
func (e Estimate) Err() error {
	if e.Fits {
		return nil
	}
	return fmt.Errorf("%w: the run needs %s, there are %s (%s): lower a setting, or wait for "+
		"memory", ErrGate, hub.Bytes(e.Total), hub.Bytes(e.Available), e.AvailableSource)
}
