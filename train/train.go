// Package train trains a reward model by supervised learning: it packs the data, reads the
// reference, makes the optimizer steps, validates, writes checkpoints, and resumes a run that was
// stopped.
package train

import (
	"context"
	"fmt"
	"time"

	"haf/encode"
	"haf/objective"
	"haf/optim"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// Options are the options of a training run.
type Options struct {
	Objective       objective.Hybrid
	Attributes      []string // of the score head's outputs, for the regression loss
	Optimizer       optim.AdamW
	Epochs          int
	MaxSteps        int     // 0 is no limit
	Batch           int     // approximate number of groups in an optimizer step
	EvalEvery       int     // steps; 0 validates only at the end
	CheckpointEvery int     // steps; 0 writes a checkpoint only when interrupted
	Patience        int     // validations without improvement before an early stop; 0 disables it
	HeadDropout     Dropout // before the score head
	// CoarseShapes rounds the sizes of packed batches up, so that trainings on similar data share
	// programs.
	CoarseShapes bool
	Seed         uint64
	CacheDir     string // of the reference's log-probabilities
	Fingerprint  string // of recipe and data, for resuming
	// AvailableMemory, if not 0, is the number of bytes that a run may take. The run then chooses
	// activation checkpointing to fit, and ignores the model's setting.
	AvailableMemory int64
}

// Data is the training and validation data. If Valid is empty, the last weights count as the best.
type Data struct {
	Train, Valid []encode.Group
	ValidGroups  []pref.Group // the validation groups' texts, in the order of Valid
}

// Result is the result of a run.
type Result struct {
	Steps        int
	FirstLoss    float64 // 0 if resumed
	LastLoss     float64
	Best         *run.Best
	EarlyStopped bool
	Programs     int // compiled for reference, training and validation
	Seconds      float64
}

// Run trains the model on the data and writes the run to the folder, which may hold a checkpoint to
// resume from. When ctx is canceled it finishes the step, writes a checkpoint and returns
// [run.ErrInterrupted].
func Run(
	ctx context.Context, model *reward.Model, data Data, opt Options, folder *run.Folder,
	progress run.Progress,
) (Result, error) {
	if err := opt.Check(model, data); err != nil {
		return Result{}, err
	}
	t := &trainer{model: model, data: data, opt: opt, folder: folder, progress: progress}
	defer folder.Close()
	defer func() { t.stepper.Close() }() // made in prepare
	if err := t.prepare(ctx); err != nil {
		return t.result, err
	}
	began := time.Now()
	err := t.loop(ctx)
	t.result.Seconds = time.Since(began).Seconds()
	t.result.Steps, t.result.Best = t.state.Step, t.state.Best
	t.result.Programs = t.stepper.Programs() + model.Programs()
	if err != nil {
		return t.result, folder.Stopped(t.state.Step, err)
	}
	return t.result, t.finish()
}

// Check returns an error if the model cannot be trained on the data with these options. It is
// quick, and [Run] calls it. A caller should call it before making a run's folder.
func (o Options) Check(model *reward.Model, data Data) error {
	h := o.Objective
	switch {
	case h.UsesPolicy() && !model.HasPolicyHead:
		return fmt.Errorf("train: %s has no policy head (lm_head.weight) for the policy loss: "+
			"train with policy_weight = 0 or from a causal language model", model.Dir)
	case h.UsesVariance() && !model.HasVariance:
		return fmt.Errorf("train: reward %q reads a variance head, which %s was opened without: "+
			"open it with one", h.Reward, model.Dir)
	case o.Epochs < 1 && o.MaxSteps < 1:
		return fmt.Errorf("train: epochs is %d, want at least 1", o.Epochs)
	case o.Batch < 1:
		return fmt.Errorf("train: batch is %d, want at least 1", o.Batch)
	}
	if err := checkMesh(model); err != nil {
		return err
	}
	if err := h.Check(); err != nil {
		return fmt.Errorf("train: %w", err)
	}
	if err := o.HeadDropout.check(); err != nil {
		return err
	}
	if err := o.Optimizer.Check(); err != nil {
		return err
	}
	if err := o.checkSingles(model, data.Train); err != nil {
		return err
	}
	for _, groups := range [][]encode.Group{data.Train, data.Valid} {
		if err := model.CheckIDs(groups); err != nil {
			return err
		}
	}
	return checkStated(h, data.Train, data.Valid)
}

// checkStated returns an error if the objective reads margins or rewards that the data does not
// state.
func checkStated(h objective.Hybrid, parts ...[]encode.Group) error {
	stated := false
	for _, groups := range parts {
		with, _ := countMargins(groups)
		stated = stated || with > 0
		for i := range groups {
			if g := &groups[i]; h.UsesTargets() && g.Targets() == nil {
				return fmt.Errorf("train: %s states no rewards, but policy %q reads one of every "+
					"response: give its rows scores (haf relabel -strategy scores), or set "+
					"objective.explicit = \"score\" to take the score head's", g.Source, h.Policy)
			}
		}
	}
	if h.UsesMargins() && !stated {
		return fmt.Errorf("train: no comparison of the data states a margin, but reward %q and "+
			"policy %q read them: give the rows a margin or scores (haf relabel), or choose other "+
			"losses", h.Reward, h.Policy)
	}
	return nil
}

// countMargins counts the comparisons with a margin in the data, and the others.
func countMargins(groups []encode.Group) (with, without int) {
	for i := range groups {
		for _, c := range groups[i].Comparisons {
			if groups[i].HasMargin(c) {
				with++
			} else {
				without++
			}
		}
	}
	return with, without
}

// reportMargins says how many comparisons a loss that reads margins leaves out.
func (t *trainer) reportMargins() {
	if !t.opt.Objective.UsesMargins() {
		return
	}
	with, without := countMargins(t.data.Train)
	if without > 0 {
		t.progress.Logf("margins: %d of %d training comparisons state none; losses that read margins "+
			"skip them and are means over the others", without, with+without)
	}
}
