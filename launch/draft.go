package launch

import (
	"context"
	"fmt"

	"haf/backend"
	"haf/hub"
	"haf/internal/durable"
	"haf/recipe"
)

// WriteRecipe inspects data and model and writes a recipe that fits into memory to a new file.
// notef gets a note if the host does not report its memory.
func WriteRecipe(
	ctx context.Context, client *hub.Client, out string, data []string, model string,
	notef func(format string, args ...any),
) (Estimate, error) {
	if err := durable.CheckNew(out); err != nil {
		return Estimate{}, err
	}
	available, err := backend.AvailableMemory()
	if err != nil {
		notef("%v: nothing to compare the need with", err)
	}
	d, err := recipe.NewDraft(ctx, client, data, model, available.Bytes)
	if err != nil {
		return Estimate{}, err
	}
	if err := durable.WriteFile(out, d.TOML()); err != nil {
		return Estimate{}, fmt.Errorf("writing the recipe: %w", err)
	}
	return Estimate{d.Estimate, available.Source, d.Estimate.Run.Memory.Total()}, nil
}
