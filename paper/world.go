package paper

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"haf/recipe"
	"haf/run"
)

// ByProbe names the reward of a linear probe of the hidden states. It is fitted on pairs of known
// truth, so no model can be used with it in practice.
const ByProbe = "probe"

// worldModel is the path of the base model in a grid of a world.
const worldModel = "world"

// checkWorld checks that a set has either files or preferences of the grid's world.
func (p *Grid) checkWorld(s Set) error {
	switch {
	case (p.World == nil) != (s.World == nil):
		return errors.New("a grid has a [world] and each of its sets a world, or none has one")
	case p.World == nil && s.Probe != 0:
		return errors.New("probe wants pairs of known truth, which a world has")
	case p.World == nil:
		return nil
	case len(s.Files) > 0 || len(s.Test) > 0:
		return errors.New("it has files and a world: want one of both")
	case s.NTrain < 1 || s.Probe < 0:
		return fmt.Errorf("train is %d and probe %d: want pairs to train on", s.NTrain, s.Probe)
	}
	if err := p.World.Check(); err != nil {
		return err
	}
	if model, ok := p.Recipe["model"].(map[string]any); !ok || model["path"] != worldModel {
		return fmt.Errorf("the base model is the world's own: set path = %q in [recipe.model]",
			worldModel)
	}
	return s.World.Check()
}

// worldSeeds returns the seeds for which a world's training pairs are drawn.
func (p *Grid) worldSeeds() []uint64 {
	if p.World == nil {
		return nil
	}
	return p.Seeds
}

// trainPart names the part of a set that a seed trains on. In a world every seed draws its own
// pairs, so that intervals over seeds include the sampling of pairs.
func (p *Grid) trainPart(set string, seed uint64) string {
	if s := p.set(set); s == nil || s.World == nil {
		return "train"
	}
	return fmt.Sprintf("train-%d", seed)
}

// makeWorld writes the pairs of the grid's world.
func (p *Grid) makeWorld(d *Data) error {
	out, err := newDataWriter(d, p.dataKey())
	if err != nil {
		return err
	}
	for _, s := range p.Sets {
		out.begin()
		draw := func(part string, n int, truth bool) error {
			of := *s.World
			if part == "probe" { // fitted on the distribution of the training pairs
				of.Shift = recipe.ShiftNone
			}
			// Sets of one world have the same prompts and responses where their settings agree.
			groups := p.World.Pairs(of, n, truth, "pairs "+part)
			return out.add(s.Name, part, groups)
		}
		err := errors.Join(draw("valid", s.NValid, false), draw("test", s.NTest, true))
		if s.Probe > 0 {
			err = errors.Join(err, draw("probe", s.Probe, true))
		}
		if err != nil {
			return err
		}
		// Seeds may be added later, so their pairs are not part of the set's identity.
		fmt.Fprintln(out.set, s.NTrain)
		d.Parts = append(d.Parts, PartCounts{Set: s.Name, Read: "drawn", Train: s.NTrain,
			Valid: s.NValid, Test: s.NTest, Hash: out.sum()})
		for _, seed := range p.Seeds {
			if err := draw(p.trainPart(s.Name, seed), s.NTrain, false); err != nil {
				return err
			}
		}
	}
	return out.finish()
}

// worldBase identifies the base model of a world by its inputs, because its bits depend on the
// machine.
func (p *Grid) worldBase(*recipe.Recipe) (string, error) {
	text, err := json.Marshal(p.World)
	if err != nil {
		return "", fmt.Errorf("paper: world: %w", err)
	}
	sum := sha256.Sum256(text)
	return "world " + hex.EncodeToString(sum[:8]), nil
}

// makeBase trains the world's language model, once, and makes it the base of the cells.
func (p *Grid) makeBase(
	ctx context.Context, dir string, cells []*Cell, runner Runner, say func(string, ...any),
) error {
	name, err := p.worldBase(nil)
	if err != nil {
		return err
	}
	folder := filepath.Join(dir, "base-"+name[len(name)-8:])
	trained := filepath.Join(folder, "pretrain")
	if !run.Finished(trained) {
		say("the world's language model")
		pretrain, err := p.World.WriteBase(folder)
		if err != nil {
			return err
		}
		if _, err := runner.Train(ctx, pretrain, trained); err != nil {
			return fmt.Errorf("paper: the world's language model: %w", err)
		}
	}
	for _, c := range cells {
		c.Recipe.Model.Path = filepath.Join(trained, run.ModelName)
	}
	return nil
}
