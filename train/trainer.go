package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/gomlx/compute/dtypes"

	"haf/backend"
	"haf/encode"
	"haf/lm"
	"haf/objective"
	"haf/pack"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// State is the part of a checkpoint besides tensors.
type State struct {
	run.State
	Packing        string    `json:"packing"` // of the data; it decides the groups of each step
	Best           *run.Best `json:"best"`    // of the validations so far
	EvalsSinceBest int       `json:"evals_since_best"`
	// Recompute is the activation checkpointing that was chosen for the available memory at the run's
	// start.
	Recompute lm.Recompute `json:"checkpointing"`
	// ValidationDue means that the run stopped before the validation of this step was finished.
	ValidationDue bool `json:"validation_due,omitempty"`
}

// trainer is one training in progress.
type trainer struct {
	model    *reward.Model
	data     Data
	opt      Options
	folder   *run.Folder
	progress run.Progress

	order     *stepOrder
	stepper   *Stepper
	trainRefs [][]float64
	validRefs [][]float64
	state     State
	result    Result
}

// prepare packs the data, reads the reference, builds the programs, and loads the newest
// checkpoint.
func (t *trainer) prepare(ctx context.Context) error {
	model, opt := t.model, t.opt
	model.Meta.Objective = opt.Objective
	var err error
	if t.order, err = newStepOrder(model.Positions(), t.data, opt); err != nil {
		return err
	}
	checkpoint, err := t.readState()
	if err != nil {
		return err
	}
	t.chooseRecompute()
	if err := t.checkMemory(); err != nil {
		return err
	}
	t.stepper = NewStepper(model, opt.Objective, opt.Optimizer, t.order.total)
	if opt.Objective.UsesScore() {
		t.stepper.dropout = opt.HeadDropout
	}
	if opt.Objective.UsesLabels() || opt.Objective.UsesAttributes() {
		t.stepper.Over(t.data.Train, opt.Attributes)
	}
	if model.Device().Kind() != backend.KindGo { // which compiles nothing
		t.stepper.compileAhead(t.order.packing.Batch(t.order.epochs[0][0][0]))
	}
	if opt.Objective.UsesReference() {
		if err := t.readReference(ctx); err != nil {
			return err
		}
	}
	t.progress.Logf("packing: %s", t.order.packing)
	stats := t.order.packing.StepStats(t.order.epochs[0])
	t.progress.Logf("steps: %s", stats)
	if text := sizeWarning(stats, opt.Batch, model.Positions()); text != "" {
		t.progress.Logf("%s", text)
	}
	if epochs := len(t.order.epochs); opt.Epochs > 0 && t.order.total < opt.MaxSteps {
		t.progress.Logf("train.epochs = %d ends the run after %d steps, before train.max_steps = %d",
			epochs, t.order.total, opt.MaxSteps)
	}
	t.reportMesh()
	t.reportMargins()
	if opt.Objective.Kind == objective.Elastic {
		if err := t.stepper.newEWC(); err != nil {
			return err
		}
	}
	if checkpoint != "" {
		if err := t.stepper.load(checkpoint); err != nil {
			return err
		}
		t.progress.Logf("resumed after step %d of %d", t.state.Step, t.order.total)
	}
	return t.folder.OpenMetrics(&t.state, t.state.ValidationDue)
}

// readState reads the state of the newest checkpoint and returns the checkpoint's path. Without one
// the state is that of the beginning.
func (t *trainer) readState() (path string, err error) {
	packing := t.order.packing.String()
	t.state.Fingerprint = t.opt.Fingerprint
	if path, err = t.folder.ReadState(&t.state, t.progress.Logf); err != nil {
		return "", err
	}
	if path != "" && t.state.Packing != packing {
		return "", fmt.Errorf("train: %s is of a run that packed the data otherwise (%q, now %q), so "+
			"its steps had other groups: finish it with the version of haf that began it, or train "+
			"into a new folder", path, t.state.Packing, packing)
	}
	t.state.Packing = packing
	return path, nil
}

// chooseRecompute chooses the activation checkpointing by the available memory. A resumed run
// keeps its own, because another one may change the last bits.
func (t *trainer) chooseRecompute() {
	if t.state.Recompute != "" {
		t.model.SetRecompute(t.state.Recompute)
	} else if available := t.opt.AvailableMemory; available > 0 {
		memory := fit(t.model, t.opt.Objective, t.order, available)
		t.progress.Logf("checkpointing: %s, for %.1f GB of memory where there are %.1f GB",
			t.model.Decoder().Recompute, float64(memory.Total())/1e9, float64(available)/1e9)
	}
	t.state.Recompute = t.model.Decoder().Recompute
}

// checkMemory returns an error of [pref.ErrMemory] if the steps surely need more memory than is
// available beside the weights, which are open.
func (t *trainer) checkMemory() error {
	estimate := t.order.memory(t.model, t.opt.Objective).besideWeights()
	need := int64(memoryShare * float64(estimate))
	available, enough := t.model.Device().HasMemory(need)
	if enough {
		return nil
	}
	return fmt.Errorf("train: %w: training needs about %.2f GB beside the weights, and %.2f GB are "+
		"available: end other programs and give the same command again, or start a new run with a "+
		"lower train.tokens_per_batch or model.max_length; haf train -plan says what a recipe needs",
		pref.ErrMemory, float64(estimate)/1e9, float64(available.Bytes)/1e9)
}

// readReference gets π_ref's log-probabilities of all responses. It runs before the checkpoint is
// loaded, because the weights are still the base's then.
func (t *trainer) readReference(ctx context.Context) error {
	ref, err := t.model.Reference(t.opt.CacheDir)
	if err != nil {
		return err
	}
	all := append(append([]encode.Group{}, t.data.Train...), t.data.Valid...)
	started := false
	logps, made, err := ref.LogProbs(ctx, all, t.order.shapes, func(done, total int) {
		if !started {
			started = true
			t.progress.StartPhase("reference", total)
		}
		t.progress.Update(done, "")
	})
	if started {
		t.progress.EndPhase()
	}
	if err != nil {
		return err
	}
	t.trainRefs, t.validRefs = logps[:len(t.data.Train)], logps[len(t.data.Train):]
	t.progress.Logf("reference: %d response log-probabilities made, the rest from the cache", made)
	return nil
}

// loop makes the steps that are left.
func (t *trainer) loop(ctx context.Context) error {
	t.stepper.waitCompiled(ctx, t.progress)
	t.progress.StartPhase("training", t.order.total)
	defer t.progress.EndPhase()
	t.progress.Update(t.state.Step, "")
	t.result.EarlyStopped = t.outOfPatience()
	if err := t.validateIfDue(ctx); err != nil {
		return err
	}
	first := 0 // number of the epoch's first step
	for epoch, steps := range t.order.epochs {
		for i := max(0, t.state.Step-first); i < len(steps); i++ {
			if t.state.Step >= t.order.total || t.result.EarlyStopped {
				return nil
			}
			if ctx.Err() != nil {
				return t.interrupted()
			}
			if err := t.trainStep(epoch, steps[i]); err != nil {
				return err
			}
			if err := t.validateAndCheckpoint(ctx); err != nil {
				return err
			}
		}
		first += len(steps)
	}
	return nil
}

func (t *trainer) outOfPatience() bool {
	return t.opt.Patience > 0 && t.state.EvalsSinceBest >= t.opt.Patience
}

// lossSlack is how far below 0 rounding may bring a loss that cannot be negative.
const lossSlack = 1e-3

// trainStep makes one optimizer step over the packed batches and records it.
func (t *trainer) trainStep(epoch int, packed []int) error {
	began := time.Now()
	batches := make([]*pack.Batch, len(packed))
	for i, p := range packed {
		batches[i] = t.order.packing.Batch(p)
	}
	rate := t.opt.Optimizer.Rate(t.state.Step, t.order.total)
	metrics, err := t.stepper.Step(batches, t.trainRefs, rate, t.state.Step+1)
	if bad := (*nonFiniteError)(nil); errors.As(err, &bad) {
		return t.failNonFinite(bad, len(batches))
	}
	if err != nil {
		return fmt.Errorf("step %d: %w", t.state.Step+1, err)
	}
	t.state.Step++
	record := metrics.record()
	if t.opt.Objective.Bounded() && record.Loss < -lossSlack {
		return fmt.Errorf("train: step %d: the loss is %g, but no loss of objective.reward %q and "+
			"objective.policy %q can be below 0: look for negative margins in the data (haf data)",
			t.state.Step, record.Loss, t.opt.Objective.Reward, t.opt.Objective.Policy)
	}
	record.Epoch, record.LR, record.Seconds = epoch, rate, time.Since(began).Seconds()
	record.Memory = run.PeakMemory()
	t.result.LastLoss = record.Loss
	if t.state.Step == 1 {
		t.result.FirstLoss = record.Loss
		t.checkFirstLoss(record.Loss, batches)
	}
	t.progress.Update(t.state.Step, fmt.Sprintf(
		"loss %.4f (reward %.4f, policy %.4f)%s, %.0f tokens/s", record.Loss,
		record.RewardLoss, record.PolicyLoss, t.stepAccuracy(record),
		float64(record.Tokens)/record.Seconds))
	return t.folder.Record(record)
}

// stepAccuracy is what a step's line says of the comparisons, or else of the labelled responses.
func (t *trainer) stepAccuracy(record run.TrainStep) string {
	score := t.opt.Objective.UsesScore() && !t.opt.Objective.UsesAttributes()
	choose := func(byScore, byPolicy float64) float64 {
		if score {
			return byScore
		}
		return byPolicy
	}
	switch labelled := record.Labels.Desirable + record.Labels.Undesirable; {
	case record.Comparisons > 0:
		return fmt.Sprintf(", accuracy %.2f", choose(record.Accuracy, record.PolicyAccuracy))
	case labelled > 0:
		return fmt.Sprintf(", accuracy %.2f",
			choose(record.Labels.Accuracy, record.Labels.PolicyAccuracy))
	}
	return ""
}

// failNonFinite ends a run whose loss or gradient is not finite. It writes the weights before the
// step into a checkpoint; the error names the step, the packed batch and the sources.
func (t *trainer) failNonFinite(bad *nonFiniteError, batches int) error {
	var sources []string
	for _, g := range bad.groups() {
		if len(sources) == 6 {
			sources = append(sources, "…")
			break
		}
		sources = append(sources, t.data.Train[g].Source.String())
	}
	err := fmt.Errorf("train: step %d, packed batch %d of %d, groups %s: %w; lower train.lr, set "+
		"train.clip, or look at these rows", t.state.Step+1, bad.index+1, batches,
		strings.Join(sources, ", "), bad)
	if saveErr := t.checkpoint(); saveErr != nil {
		return errors.Join(err, saveErr)
	}
	return fmt.Errorf("%w; the weights after step %d are in %s",
		err, t.state.Step, t.folder.CheckpointPath(t.state.Step))
}

// checkpoint writes the state and the trained weights.
func (t *trainer) checkpoint() error { return t.folder.SaveCheckpoint(&t.state, t.stepper.save) }

// checkFirstLoss compares the first loss with the one that a fresh head and π = π_ref must give:
// (w + α) ln 2 by the paper's losses.
func (t *trainer) checkFirstLoss(loss float64, batches []*pack.Batch) {
	var groups []objective.Group
	for _, b := range batches {
		for _, g := range b.Groups {
			groups = append(groups, t.valuesOf(&t.data.Train[g], nil, nil, nil))
		}
	}
	want, ok := t.opt.Objective.FirstLoss(groups, t.order.total)
	what := "what zero scores and π = π_ref give"
	if t.opt.Objective.Plain() {
		what = "(w + α) ln 2"
	}
	near := 1e-4
	if t.model.Decoder().DType != dtypes.Float32 {
		// The programs of the reference and of the step may sum in another order. In bfloat16 a
		// log-probability then differs by tenths.
		near = 2e-3
	}
	switch {
	case !ok || !t.model.ScoreHeadUntrained && t.opt.Objective.UsesScore():
	case math.Abs(loss-want) <= near*math.Max(1, want):
		t.progress.Logf("first loss %.6f is %s = %.6f, as it must be", loss, what, want)
	default:
		t.progress.Logf("warning: the first loss is %.6f, %s = %.6f was expected: the reference is "+
			"not the model that is trained", loss, what, want)
	}
}

// validateAndCheckpoint validates and writes a checkpoint where they are due after a step.
func (t *trainer) validateAndCheckpoint(ctx context.Context) error {
	step, last := t.state.Step, t.state.Step == t.order.total
	due := func(every int) bool { return every > 0 && step%every == 0 }
	t.state.ValidationDue = len(t.data.Valid) > 0 && (last || due(t.opt.EvalEvery))
	if err := t.validateIfDue(ctx); err != nil {
		return err
	}
	if due(t.opt.CheckpointEvery) && !last {
		return t.checkpoint()
	}
	return nil
}

// interrupted writes a checkpoint and returns [run.ErrInterrupted].
func (t *trainer) interrupted() error {
	if err := t.checkpoint(); err != nil {
		return err
	}
	return run.ErrInterrupted
}

// loadBest loads the weights of the best validation. If they are damaged it writes a checkpoint, so
// that the last step is not lost.
func (t *trainer) loadBest(best run.Best) error {
	path, err := t.folder.ReadBest(best)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		t.progress.Logf("warning: %v; the weights of the last step are kept", err)
		return nil
	case err != nil:
		return errors.Join(err, t.checkpoint())
	}
	if err := t.stepper.optimizer.LoadWeights(path); err != nil {
		return err
	}
	t.progress.Logf("the weights of step %d, the best validation, are kept", best.Step)
	return nil
}

// reportChoice says by which accuracy the weights were chosen, with its interval, and whether that
// is more than chance.
func (t *trainer) reportChoice() error {
	records, err := run.ReadRecords(t.folder.Path, run.VerbTrain)
	if err != nil {
		return err
	}
	choice, ok := records.Choice()
	switch {
	case !ok || choice.Others == 0:
	case choice.ByChance():
		t.progress.Logf("warning: %s: the choice is mostly chance; validate on more groups", choice)
	default:
		t.progress.Logf("%s", choice)
	}
	return nil
}

// finish puts the best weights into the model and saves it.
func (t *trainer) finish() error {
	if err := t.reportChoice(); err != nil {
		return err
	}
	if best := t.state.Best; best != nil && best.Step != t.state.Step {
		if err := t.loadBest(*best); err != nil {
			return err
		}
	}
	var err error
	if t.model.Meta.Objective, err = t.stepper.learnedObjective(); err != nil {
		return err
	}
	t.model.Meta.Heads = nil
	if t.opt.Objective.UsesScore() {
		t.model.Meta.Heads = append(t.model.Meta.Heads, "score")
	}
	if t.opt.Objective.UsesPolicy() {
		t.model.Meta.Heads = append(t.model.Meta.Heads, "policy")
	}
	if err := t.folder.Seal(); err != nil {
		return err
	}
	return t.model.Save(t.folder.Join(run.ModelName))
}
