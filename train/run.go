// Package train holds the only optimizer step and the only supervised loop: accumulate, clip, update, measure,
// checkpoint, resume.
package train

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/encode"
	"haf/eval"
	"haf/objective"
	"haf/pref"
	"haf/reward"
)

// ErrInterrupted is the end of a run that was asked to stop: its checkpoint is written.
var ErrInterrupted = errors.New("interrupted; the checkpoint is written")

// Options says how a run is trained.
type Options struct {
	Objective       objective.Hybrid
	Optimizer       AdamW
	Epochs          int
	MaxSteps        int     // 0 is no limit
	Batch           int     // groups of an optimizer step, about
	EvalEvery       int     // steps; 0 is only at the end
	CheckpointEvery int     // steps; 0 is only when interrupted
	Patience        int     // validations without a better one before an early stop; 0 never stops early
	HeadDropout     Dropout // before the score head
	Seed            uint64
	CacheDir        string // of the reference's log-probabilities
	Fingerprint     string // of recipe and data, for resuming
	// Room, unless it is 0, is how many bytes of memory there are: what the backward pass makes again is then chosen to fit, rather than
	// as the model was opened.
	Room int64
}

// Data is what is trained and validated on. Valid may be empty: the last weights are then the best.
type Data struct {
	Train, Valid []encode.Group
	ValidGroups  []pref.Group // the validation groups' texts, in the order of Valid
}

// Result is what a run came to.
type Result struct {
	Steps     int
	FirstLoss float64 // 0 where resumed
	LastLoss  float64
	Best      *Best
	Stopped   bool // early
	Programs  int  // compiled for reference, training and validation
	Seconds   float64
}

// A Progress is told what a run does. Implementations print; the loop decides nothing by them.
type Progress interface {
	Say(format string, args ...any)
	Start(what string, total int) // a stretch of work of total parts begins
	At(done int, detail string)   // so much of it is done
	End()
}

// stepRecord is a line of metrics.jsonl after an optimizer step.
type stepRecord struct {
	Kind           string  `json:"kind"` // "step"
	Step           int     `json:"step"`
	Epoch          int     `json:"epoch"`
	Loss           float64 `json:"loss"`
	RewardLoss     float64 `json:"reward_loss"`
	PolicyLoss     float64 `json:"policy_loss"`
	Accuracy       float64 `json:"accuracy"`         // of the score head on the step's comparisons
	Margin         float64 `json:"margin"`           // mean reward margin
	PolicyAccuracy float64 `json:"policy_accuracy"`  // of the implicit reward
	LogRatioMargin float64 `json:"log_ratio_margin"` // mean difference of the log-ratios
	RewardWeight   float64 `json:"reward_weight"`    // w of the step
	PolicyWeight   float64 `json:"policy_weight"`    // α of the step
	GradNorm       float64 `json:"grad_norm"`        // before clipping
	LR             float64 `json:"lr"`
	Groups         int     `json:"groups"`
	Comparisons    int     `json:"comparisons"`
	Tokens         int     `json:"tokens"` // real ones
	Fill           float64 `json:"fill"`   // of the positions
	GFLOP          float64 `json:"gflop"`  // of matrix products that were needed
	Seconds        float64 `json:"seconds"`
}

// evalRecord is a line of metrics.jsonl after a validation.
type evalRecord struct {
	Kind       string                 `json:"kind"` // "eval"
	Step       int                    `json:"step"`
	Loss       float64                `json:"loss"`
	RewardLoss float64                `json:"reward_loss"`
	PolicyLoss float64                `json:"policy_loss"`
	Rewards    map[string]eval.Result `json:"rewards"` // by the name of the reward
	Seconds    float64                `json:"seconds"`
}

// run is one training in progress.
type run struct {
	*stepper
	*schedule
	model    *reward.Model
	data     Data
	opt      Options
	folder   *Folder
	progress Progress

	trainRefs [][]float64
	validRefs [][]float64
	state     State
	result    Result
}

// Run trains the model on the data and leaves the run in the folder, which may hold a checkpoint to go on from. When
// ctx is cancelled it finishes the step, writes a checkpoint and returns [ErrInterrupted].
func Run(ctx context.Context, model *reward.Model, data Data, opt Options, folder *Folder, progress Progress) (Result, error) {
	if err := opt.Check(model, data); err != nil {
		return Result{}, err
	}
	r := &run{model: model, data: data, opt: opt, folder: folder, progress: progress}
	defer folder.Close()
	defer func() { r.stepper.close() }() // made in prepare
	if err := r.prepare(ctx); err != nil {
		return r.result, err
	}
	began := time.Now()
	err := r.loop(ctx)
	r.result.Seconds = time.Since(began).Seconds()
	r.result.Steps, r.result.Best, r.result.Programs = r.state.Step, r.state.Best, r.built+model.Programs()
	if err != nil {
		return r.result, err
	}
	return r.result, r.finish()
}

// Check returns an error if the model cannot be trained on the data in this way. It is quick, and [Run] asks it itself: a caller asks before it
// makes a run's folder.
func (o Options) Check(model *reward.Model, data Data) error {
	h := o.Objective
	switch {
	case h.UsesPolicy() && !model.HasPolicyHead:
		return fmt.Errorf("train: %s has no policy head (lm_head.weight) for the policy loss: train with policy_weight = 0 or from a causal language model", model.Dir)
	case h.UsesVariance() && !model.HasVariance:
		return fmt.Errorf("train: reward %q reads a variance head, which %s was opened without: open it with one", h.Reward, model.Dir)
	case o.Epochs < 1 && o.MaxSteps < 1:
		return fmt.Errorf("train: epochs is %d, at least 1 is wanted", o.Epochs)
	case o.Batch < 1:
		return fmt.Errorf("train: batch is %d, at least 1 is wanted", o.Batch)
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
	for _, groups := range [][]encode.Group{data.Train, data.Valid} {
		if err := model.CheckIDs(groups); err != nil {
			return err
		}
	}
	return checkStated(h, data.Train, data.Valid)
}

// prepare makes the reference, the plan and the programs, and loads the checkpoint if there is one.
func (r *run) prepare(ctx context.Context) error {
	model, opt := r.model, r.opt
	model.Meta.Objective = opt.Objective
	var err error
	if r.schedule, err = newSchedule(model.Positions(), r.data, opt); err != nil {
		return err
	}
	checkpoint, err := r.readState(r.folder.join(CheckpointsName))
	if err != nil {
		return err
	}
	r.chooseCheckpointing()
	r.stepper = newStepper(model, opt.Objective, opt.Optimizer, r.total)
	if opt.Objective.UsesScore() {
		r.dropout = opt.HeadDropout
	}
	if model.Device().Kind() != backend.KindGo { // which compiles nothing
		r.compileAhead(r.plan.Batch(r.epochs[0][0][0]))
	}
	if opt.Objective.UsesReference() {
		if err := r.reference(ctx); err != nil {
			return err
		}
	}
	r.progress.Say("packing: %s", r.plan)
	r.progress.Say("steps: %s", r.plan.StepStats(r.epochs[0]))
	if opt.Objective.Kind == objective.Elastic {
		if err := r.newElastic(); err != nil {
			return err
		}
	}
	if checkpoint != "" {
		if err := r.loadCheckpoint(checkpoint); err != nil {
			return err
		}
		r.progress.Say("resumed after step %d of %d", r.state.Step, r.total)
	}
	return r.folder.OpenMetrics(r.state.Step, r.state.ValidationDue)
}

// readState reads where the run stands from the newest checkpoint under dir and returns its path; without one it is the beginning.
func (r *run) readState(dir string) (path string, err error) {
	if path, err = NewestCheckpoint(dir); err != nil {
		return "", err
	}
	if path != "" {
		name := filepath.Join(path, stateName)
		data, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("train: checkpoint: %w", err)
		}
		if err := json.Unmarshal(data, &r.state); err != nil {
			return "", fmt.Errorf("train: %s: %w", name, err)
		}
		if r.state.Fingerprint != r.opt.Fingerprint {
			return "", fmt.Errorf("train: %s was made by another recipe, model or data: resume with those it was started with, or train into a new folder", path)
		}
		if r.state.Packing != r.plan.String() {
			return "", fmt.Errorf("train: the checkpoint in %s is of a run that packed the data otherwise (%q, now %q), so its steps had other groups: finish it with the version of haf that began it, or train into a new folder",
				dir, r.state.Packing, r.plan)
		}
	}
	r.state.Fingerprint, r.state.Packing = r.opt.Fingerprint, r.plan.String()
	return path, nil
}

// chooseCheckpointing chooses what the backward pass makes again by the room that there is; a run goes on as it began, to the last bit.
func (r *run) chooseCheckpointing() {
	if r.state.Checkpointing != "" {
		r.model.SetCheckpointing(r.state.Checkpointing)
	} else if r.opt.Room > 0 {
		memory := fit(r.model, r.opt.Objective, r.schedule, r.opt.Room)
		r.progress.Say("checkpointing: %s, for %.1f GB of memory where there are %.1f GB", r.model.Decoder().Checkpointing, float64(memory.Total())/1e9, float64(r.opt.Room)/1e9)
	}
	r.state.Checkpointing = r.model.Decoder().Checkpointing
}

// reference gets π_ref's log-probabilities of all responses. It runs before the checkpoint is loaded: the weights are
// still the base's.
func (r *run) reference(ctx context.Context) error {
	ref, err := r.model.Reference(r.opt.CacheDir)
	if err != nil {
		return err
	}
	all := append(append([]encode.Group{}, r.data.Train...), r.data.Valid...)
	started := false
	logps, made, err := ref.LogProbs(ctx, all, r.shapes, func(done, total int) {
		if !started {
			started = true
			r.progress.Start("reference", total)
		}
		r.progress.At(done, "")
	})
	if started {
		r.progress.End()
	}
	if err != nil {
		return err
	}
	r.trainRefs, r.validRefs = logps[:len(r.data.Train)], logps[len(r.data.Train):]
	r.progress.Say("reference: %d response log-probabilities made, the rest from the cache", made)
	return nil
}

// loop makes the steps that are left.
func (r *run) loop(ctx context.Context) error {
	r.stepper.ready(ctx, r.progress)
	r.progress.Start("training", r.total)
	defer r.progress.End()
	r.progress.At(r.state.Step, "")
	r.result.Stopped = r.opt.Patience > 0 && r.state.Bad >= r.opt.Patience
	if err := r.validateIfDue(ctx); err != nil {
		return err
	}
	first := 0 // number of the epoch's first step
	for epoch, steps := range r.epochs {
		for i := max(0, r.state.Step-first); i < len(steps) && r.state.Step < r.total && !r.result.Stopped; i++ {
			if ctx.Err() != nil {
				return r.interrupted()
			}
			if err := r.one(epoch, steps[i]); err != nil {
				return err
			}
			if err := r.after(ctx); err != nil {
				return err
			}
		}
		first += len(steps)
	}
	return nil
}

// one makes one optimizer step over the packed batches and records it.
func (r *run) one(epoch int, packed []int) error {
	began := time.Now()
	batches := make([]*encode.Batch, len(packed))
	for i, p := range packed {
		batches[i] = r.plan.Batch(p)
	}
	rate := r.opt.Optimizer.Rate(r.state.Step, r.total)
	ms, err := r.step(batches, r.trainRefs, rate, r.state.Step+1)
	if bad := (*nonFiniteError)(nil); errors.As(err, &bad) {
		return r.stopped(bad, slices.Index(batches, bad.batch)+1, len(batches))
	}
	if err != nil {
		return fmt.Errorf("step %d: %w", r.state.Step+1, err)
	}
	r.state.Step++
	n := max(1, float64(ms.decided)) // a step of ties alone has nothing to be right about
	record := stepRecord{
		Kind: "step", Step: r.state.Step, Epoch: epoch, Loss: ms.losses[0], RewardLoss: ms.losses[1], PolicyLoss: ms.losses[2],
		Accuracy: ms.correct[0] / n, Margin: ms.margin[0] / n, PolicyAccuracy: ms.correct[1] / n, LogRatioMargin: ms.margin[1] / n,
		RewardWeight: ms.weights[0], PolicyWeight: ms.weights[1], GradNorm: ms.norm, LR: rate, Groups: ms.groups, Comparisons: ms.comparisons, Tokens: ms.tokens,
		Fill: float64(ms.tokens) / float64(ms.slots), GFLOP: ms.flops / 1e9, Seconds: time.Since(began).Seconds(),
	}
	r.result.LastLoss = record.Loss
	if r.state.Step == 1 {
		r.result.FirstLoss = record.Loss
		r.checkFirst(record.Loss, batches)
	}
	accuracy := record.Accuracy
	if !r.opt.Objective.UsesScore() {
		accuracy = record.PolicyAccuracy
	}
	r.progress.At(r.state.Step, fmt.Sprintf("loss %.4f (reward %.4f, policy %.4f), accuracy %.2f, %.0f tokens/s", record.Loss, record.RewardLoss, record.PolicyLoss, accuracy, float64(ms.tokens)/record.Seconds))
	return r.folder.Record(record)
}

// stopped ends a run whose loss is no number: the weights before the step are kept in a checkpoint, and the error names
// the step, the packed batch and the sources.
func (r *run) stopped(bad *nonFiniteError, batch, batches int) error {
	var sources []string
	for _, g := range bad.groups() {
		if len(sources) == 6 {
			sources = append(sources, "…")
			break
		}
		sources = append(sources, r.data.Train[g].Source.String())
	}
	err := fmt.Errorf("train: step %d, packed batch %d of %d, groups %s: %w; lower train.lr, set train.clip, or look at these rows", r.state.Step+1, batch, batches, strings.Join(sources, ", "), bad)
	if saveErr := r.checkpoint(); saveErr != nil {
		return errors.Join(err, saveErr)
	}
	return fmt.Errorf("%w; the weights after step %d are in %s", err, r.state.Step, filepath.Join(r.folder.join(CheckpointsName), checkpointName(r.state.Step)))
}

// checkpoint writes the state, after what metrics.jsonl says of it.
func (r *run) checkpoint() error {
	if err := r.folder.Sync(); err != nil {
		return err
	}
	return r.saveCheckpoint(r.folder.join(CheckpointsName), r.state)
}

// checkFirst compares the first loss with what it must be for a fresh head and π = π_ref: (w + α) ln 2 by the paper's losses.
func (r *run) checkFirst(loss float64, batches []*encode.Batch) {
	var groups []objective.Group
	for _, b := range batches {
		for _, g := range b.Groups {
			groups = append(groups, valuesOf(&r.data.Train[g], nil, nil, nil))
		}
	}
	want, ok := r.opt.Objective.FirstLoss(groups, r.total)
	what := "what zero scores and π = π_ref give"
	if r.opt.Objective.Plain() {
		what = "(w + α) ln 2"
	}
	near := 1e-4
	if r.model.Decoder().DType != dtypes.Float32 {
		near = 2e-3 // the programs of the reference and of the step may sum in another order: a log-probability then differs by tenths
	}
	switch {
	case !ok || !r.model.FreshHead && r.opt.Objective.UsesScore():
	case math.Abs(loss-want) <= near*math.Max(1, want):
		r.progress.Say("first loss %.6f is %s = %.6f, as it must be", loss, what, want)
	default:
		r.progress.Say("warning: the first loss is %.6f, %s = %.6f was expected: the reference is not the model that is trained", loss, what, want)
	}
}

// after validates and writes checkpoints where they are due.
func (r *run) after(ctx context.Context) error {
	step, last := r.state.Step, r.state.Step == r.total
	due := func(every int) bool { return every > 0 && step%every == 0 }
	r.state.ValidationDue = len(r.data.Valid) > 0 && (last || due(r.opt.EvalEvery))
	if err := r.validateIfDue(ctx); err != nil {
		return err
	}
	if due(r.opt.CheckpointEvery) && !last {
		return r.checkpoint()
	}
	return nil
}

// validateIfDue validates after the step just made, or, where a run was stopped during that, after resuming.
func (r *run) validateIfDue(ctx context.Context) error {
	if !r.state.ValidationDue {
		return nil
	}
	err := r.validate(ctx)
	if errors.Is(err, context.Canceled) {
		return r.interrupted()
	}
	r.state.ValidationDue = false
	return err
}

func (r *run) interrupted() error {
	if err := r.checkpoint(); err != nil {
		return err
	}
	return ErrInterrupted
}

// validate measures the validation groups, keeps the weights if they are the best so far, and decides on an early stop.
func (r *run) validate(ctx context.Context) error {
	began := time.Now()
	record, err := r.measure(ctx)
	if err != nil {
		return err
	}
	name := reward.ByScore
	switch {
	case r.opt.Objective.UsesScore():
	case r.opt.Objective.UsesReference():
		name = reward.ByImplicit
	default:
		name = byLogp
	}
	result := record.Rewards[name]
	record.Seconds = time.Since(began).Seconds()
	if err := r.folder.Record(record); err != nil {
		return err
	}
	r.progress.Say("step %d: validation accuracy %.4f [%.4f, %.4f] of %s, loss %.4f", r.state.Step, result.Accuracy, result.AccuracyLow, result.AccuracyHigh, name, record.Loss)
	if !r.state.Best.better(result.Accuracy, record.Loss) {
		r.state.Bad++
		r.result.Stopped = r.opt.Patience > 0 && r.state.Bad >= r.opt.Patience
		if r.result.Stopped {
			r.progress.Say("early stop: %d validations without a better one; the best was step %d", r.state.Bad, r.state.Best.Step)
		}
		return nil
	}
	r.state.Best = &Best{Step: r.state.Step, Accuracy: result.Accuracy, Loss: record.Loss}
	r.state.Bad = 0
	return r.saveBest(r.bestPath(), *r.state.Best)
}

func (r *run) bestPath() string { return r.folder.join(bestName) }

// byLogp names the plain log-probability as a reward, where there is no reference to compare it with.
const byLogp = "log-probability"

// measure reads the heads in use on the validation groups and gives losses and accuracies.
func (r *run) measure(ctx context.Context) (evalRecord, error) {
	obj, valid := r.opt.Objective, r.data.Valid
	record := evalRecord{Kind: "eval", Step: r.state.Step, Rewards: map[string]eval.Result{}}
	var want reward.Heads
	if obj.UsesScore() {
		want |= reward.ScoreHead
	}
	if obj.UsesPolicy() {
		want = reward.ScoreHead | reward.PolicyHead // by the program that the reference was read with
	}
	if obj.UsesVariance() {
		want |= reward.VarianceHead
	}
	heads, err := r.model.Read(ctx, valid, want, r.shapes, nil)
	if err != nil {
		return record, err
	}
	scores, logps, logVars := heads.Scores, heads.LogProbs, heads.LogVars
	if !obj.UsesScore() {
		scores = nil
	}
	if obj, err = r.now(); err != nil {
		return record, err
	}
	record.Loss, record.RewardLoss, record.PolicyLoss = obj.Value(r.values(scores, logps, logVars))
	if !finite(record.Loss) {
		return record, fmt.Errorf("train: the validation loss after step %d is %v: lower train.lr or set train.clip", r.state.Step, record.Loss)
	}
	rewards := map[string][][]float64{}
	if scores != nil {
		rewards[reward.ByScore] = scores
	}
	if r.validRefs != nil {
		rewards[reward.ByImplicit] = reward.Formula{Beta: obj.Beta}.Rewards(reward.ByImplicit, valid, heads, r.validRefs)
	} else if logps != nil {
		rewards[byLogp] = logps
	}
	for name, values := range rewards {
		result, err := eval.Comparisons(r.data.ValidGroups, values)
		if err != nil {
			return record, fmt.Errorf("train: validation: %w", err)
		}
		record.Rewards[name] = result
	}
	return record, nil
}

// values are the validation groups' numbers for the objective's float64 twin.
func (r *run) values(scores, logps, logVars [][]float64) []objective.Group {
	row := func(table [][]float64, g int) []float64 {
		if table == nil {
			return nil
		}
		return table[g]
	}
	out := make([]objective.Group, len(r.data.Valid))
	for g := range r.data.Valid {
		out[g] = valuesOf(&r.data.Valid[g], row(scores, g), row(logps, g), row(r.validRefs, g))
		out[g].LogVars = row(logVars, g)
	}
	return out
}

// finish puts the best weights into the model and saves it.
func (r *run) finish() error {
	if r.state.Best != nil && r.state.Best.Step != r.state.Step {
		if err := r.readWeights(r.bestPath()); err != nil {
			return err
		}
		r.progress.Say("the weights of step %d, the best validation, are kept", r.state.Best.Step)
	}
	var err error
	if r.model.Meta.Objective, err = r.now(); err != nil {
		return err
	}
	r.model.Meta.Heads = nil
	if r.opt.Objective.UsesScore() {
		r.model.Meta.Heads = append(r.model.Meta.Heads, "score")
	}
	if r.opt.Objective.UsesPolicy() {
		r.model.Meta.Heads = append(r.model.Meta.Heads, "policy")
	}
	return r.model.Save(r.folder.join(ModelName))
}
