package rlhf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"haf/internal/durable"
	"haf/lm"
	"haf/optim"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// A Task is an optimization task: the policy, its prompts and the rewards of its responses.
type Task struct {
	Policy *reward.Model // opened for training; its initial weights are the reference
	Critic *reward.Model // for ValueSeparate, opened for training; else nil
	// Prompts are conversations that end where the policy answers.
	Prompts [][]pref.Message
	HeldOut [][]pref.Message // prompts for the evaluations of Options.EvalEvery
	Rewards []Reward
	// MaxLength is the largest number of tokens of prompt and response together. A prompt that does
	// not leave Options.MaxTokens is dropped. 0 is no limit.
	MaxLength int
}

// Result is the outcome of a run.
type Result struct {
	Steps       int
	First, Last run.PolicyStep  // of this call's steps
	Best        *run.BestPolicy // nil without evaluations
	Programs    int
	Seconds     float64
}

// state is a checkpoint without its tensors. It counts rollout steps.
type state struct {
	run.State
	Updates   int     `json:"updates"` // optimizer steps
	KL        float64 `json:"kl_coefficient"`
	Running   Running `json:"running"`
	Draws     int     `json:"draws"`     // batches of prompts drawn
	Evaluated int     `json:"evaluated"` // step of the last evaluation, −1 before the first
	Health    health  `json:"health"`
}

// ModelsName is the folder, inside a run folder, for the policies that Options.SaveEvery keeps.
const ModelsName = "models"

// optimization is a running optimization.
type optimization struct {
	Task
	*learner
	generator *lm.Generator
	evaluator *lm.Generator // for evaluations, or nil
	folder    *run.Folder
	progress  run.Progress

	prompts, heldOut []prompt
	state            state
	result           Result
}

// Run optimizes the policy and writes the run to the folder, which may hold a checkpoint to resume
// from. When ctx is canceled it writes a checkpoint of the last whole step and returns
// [run.ErrInterrupted].
func Run(
	ctx context.Context, task Task, opt Options, folder *run.Folder, progress run.Progress,
) (Result, error) {
	if err := opt.Check(); err != nil {
		return Result{}, err
	}
	if err := opt.checkModels(task.Policy, task.Critic); err != nil {
		return Result{}, err
	}
	if err := checkRewards(task.Rewards); err != nil {
		return Result{}, err
	}
	r := &optimization{Task: task, folder: folder, progress: progress}
	if err := r.encodeAll(opt); err != nil {
		return Result{}, err
	}
	opt = opt.forPrompts(len(r.prompts))
	progress.Logf("%s: %d steps of %d prompts with %d responses each, %d optimizer steps in all",
		opt.Algorithm, opt.steps, opt.Batch, opt.NumGenerations,
		opt.steps*opt.NumPPOEpochs*opt.minibatches())
	var err error
	if r.learner, err = newLearner(task.Policy, task.Critic, opt); err != nil {
		return Result{}, err
	}
	defer r.learner.close()
	r.openGenerators()
	defer r.closeGenerators()
	defer folder.Close()
	if err := r.restore(); err != nil {
		return Result{}, err
	}
	began := time.Now()
	err = r.loop(ctx)
	r.result.Seconds, r.result.Steps = time.Since(began).Seconds(), r.state.Step
	r.result.Programs = r.programs()
	if err != nil {
		return r.result, folder.Stopped(r.state.Step, err)
	}
	return r.result, r.finish()
}

// openGenerators makes one generator for the steps and another for evaluations. A generator that
// has had other requests may run other programs, whose last bits differ, so with a single generator
// a resumed run would not equal an uninterrupted one. Programs of one shape serve both.
func (r *optimization) openGenerators() {
	// One length, so that all steps run the same programs.
	setLength := func(g *lm.Generator, prompts []prompt) {
		for _, p := range prompts {
			g.MinCacheLen = max(g.MinCacheLen, len(p.tokens)+r.opt.MaxTokens)
		}
	}
	r.generator = r.Policy.TokenGenerator(r.opt.Rows)
	setLength(r.generator, r.prompts)
	if r.opt.EvalEvery > 0 {
		r.evaluator = r.generator.Another()
		setLength(r.evaluator, r.heldOut)
	}
}

func (r *optimization) closeGenerators() {
	for _, g := range []*lm.Generator{r.generator, r.evaluator} {
		if g != nil {
			g.Close()
		}
	}
}

func (r *optimization) programs() int {
	n := r.learner.programs() + r.generator.Programs()
	if r.evaluator != nil {
		n += r.evaluator.Programs()
	}
	return n
}

// A prompt is a conversation that ends where the policy answers, with its tokens.
type prompt struct {
	messages []pref.Message
	tokens   []int32
}

// encodeAll turns the training and the held-out prompts into tokens.
func (r *optimization) encodeAll(opt Options) (err error) {
	if r.prompts, err = r.encode("prompts", r.Prompts, opt.MaxTokens); err != nil {
		return err
	}
	switch {
	case opt.EvalEvery == 0:
		return nil
	case len(r.HeldOut) == 0:
		return fmt.Errorf("rlhf: eval_every is %d, but there are no held-out prompts", opt.EvalEvery)
	}
	r.heldOut, err = r.encode("held-out prompts", r.HeldOut, opt.MaxTokens)
	return err
}

// encode turns prompts into tokens and drops those that leave fewer than maxTokens.
func (r *optimization) encode(what string, all [][]pref.Message, maxTokens int) ([]prompt, error) {
	most := r.MaxLength
	if longest := r.Policy.Config.MaxLength(); longest > 0 && (most == 0 || longest < most) {
		most = longest
	}
	var kept []prompt
	for i, messages := range all {
		tokens, err := r.Policy.Encoder.Prompt(messages)
		if err != nil {
			return nil, fmt.Errorf("rlhf: %s: number %d: %w", what, i+1, err)
		}
		if most == 0 || len(tokens)+maxTokens <= most {
			kept = append(kept, prompt{messages, tokens})
		}
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("rlhf: none of %d %s leaves room for %d tokens of response in a length "+
			"of %d: raise model.max_length, or lower rlhf.max_tokens", len(all), what, maxTokens, most)
	}
	r.progress.Logf("%s: %d, %d left out as too long", what, len(kept), len(all)-len(kept))
	return kept, nil
}

// restore loads the newest checkpoint, if there is one.
func (r *optimization) restore() error {
	r.state = state{
		KL: r.opt.KL.Start, Evaluated: -1, State: run.State{Fingerprint: r.opt.Fingerprint},
	}
	path, err := r.folder.ReadState(&r.state, r.progress.Logf)
	if err != nil {
		return err
	}
	if path != "" {
		if err := r.load(path); err != nil {
			return fmt.Errorf("rlhf: checkpoint: %w", err)
		}
		r.progress.Logf("resumed after step %d of %d", r.state.Step, r.opt.steps)
	}
	if r.opt.EvalEvery > 0 {
		var best run.BestPolicy
		if found, err := r.folder.ReadBestState(&best); err != nil {
			return err
		} else if found {
			r.result.Best = &best
		}
	}
	return r.folder.OpenMetrics(&r.state, r.evaluationDue())
}

func (r *optimization) checkpoint() error { return r.folder.SaveCheckpoint(&r.state, r.save) }

// interrupted writes a checkpoint and returns [run.ErrInterrupted].
func (r *optimization) interrupted() error {
	if err := r.checkpoint(); err != nil {
		return err
	}
	return run.ErrInterrupted
}

// loop runs the remaining steps and evaluations.
func (r *optimization) loop(ctx context.Context) error {
	r.progress.StartPhase(r.opt.Algorithm, r.opt.steps)
	defer r.progress.EndPhase()
	r.progress.Update(r.state.Step, "")
	if err := r.evaluateIfDue(ctx); err != nil {
		return err
	}
	for r.state.Step < r.opt.steps {
		if err := r.nextStep(ctx); err != nil {
			return err
		}
		if err := r.evaluateIfDue(ctx); err != nil {
			return err
		}
		if err := r.saveIfDue(); err != nil {
			return err
		}
	}
	return nil
}

// nextStep makes a step. When ctx is canceled it writes a checkpoint of the last whole step.
func (r *optimization) nextStep(ctx context.Context) error {
	before := r.state
	err := r.rolloutStep(ctx)
	if err != nil {
		r.state = before
	}
	switch {
	case ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())):
		return r.interrupted()
	case errors.Is(err, ErrNoAdvantage): // the step left the weights unchanged
		err = errors.Join(err, r.checkpoint())
	}
	if err != nil {
		return fmt.Errorf("step %d: %w", r.state.Step+1, err)
	}
	return nil
}

// saveIfDue keeps the policy and writes a checkpoint if they are due. The last step needs neither,
// because the final model follows.
func (r *optimization) saveIfDue() error {
	step := r.state.Step
	due := func(every int) bool { return every > 0 && step%every == 0 && step != r.opt.steps }
	if due(r.opt.SaveEvery) {
		if err := r.keepModel(); err != nil {
			return err
		}
	}
	if due(r.opt.CheckpointEvery) {
		return r.checkpoint()
	}
	return nil
}

// keepModel saves the policy as it is now.
func (r *optimization) keepModel() error {
	dir := r.folder.Join(ModelsName, fmt.Sprintf("step-%06d", r.state.Step))
	if err := os.RemoveAll(dir); err != nil { // left by an earlier start of the run
		return fmt.Errorf("rlhf: %w", err)
	}
	return r.savePolicy(dir)
}

func (r *optimization) savePolicy(dir string) error {
	r.Policy.Meta.Heads = []string{"policy"}
	return r.Policy.Save(dir)
}

// finish saves the policy, or moves the policy of the best evaluation into its place.
func (r *optimization) finish() error {
	if err := r.folder.Seal(); err != nil {
		return err
	}
	model := r.folder.Join(run.ModelName)
	if !r.opt.BestAsResult {
		return r.savePolicy(model)
	}
	best := r.folder.Join(run.BestName)
	if err := run.CheckSums(best); err != nil {
		return fmt.Errorf("rlhf: %s, the best policy, is damaged: %w", best, err)
	}
	if err := durable.Rename(filepath.Join(best, run.ModelName), model); err != nil {
		return fmt.Errorf("rlhf: %w", err)
	}
	r.progress.Logf("the model is the policy of step %d, the best evaluation", r.result.Best.Step)
	if err := durable.RemoveAll(best); err != nil {
		return fmt.Errorf("rlhf: %w", err)
	}
	return nil
}

// rolloutStep makes one step: rollouts, rewards, advantages, updates. After an error the weights
// are unchanged, or have had only some of the step's updates.
func (r *optimization) rolloutStep(ctx context.Context) error {
	began := time.Now()
	drawn, err := r.draw(ctx)
	if err != nil {
		return err
	}
	if err := r.checkConstant(drawn.all); err != nil {
		return err
	}
	rollouts := drawn.kept
	if err := r.readAll(rollouts); err != nil {
		return err
	}
	r.opt.advantages(rollouts, r.state.KL)
	record := r.measure(drawn)
	record.Step = r.state.Step + 1
	if err := r.guard(&record); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.learn(rollouts, &record); err != nil {
		return err
	}
	record.KLCoefficient = r.state.KL
	r.state.KL = r.opt.KL.Next(r.state.KL, record.KL, len(rollouts)*r.opt.NumGenerations)
	r.state.Step++
	record.Seconds = time.Since(began).Seconds()
	if r.result.First.Step == 0 {
		r.result.First = record
	}
	r.result.Last = record
	r.progress.Update(r.state.Step, fmt.Sprintf(
		"reward %.3f, KL %.3f, length %.1f, EOS rate %.2f, entropy %.2f",
		record.Reward, record.KL, record.Length, record.EOSRate, record.Entropy))
	return r.folder.Record(record)
}

// stream returns a random stream of the run, identified by its purpose and position.
func (o Options) stream(name string, at ...int) *rand.Rand {
	return rand.New(rand.NewPCG(o.seed(name, at...), 0))
}

func (o Options) seed(name string, at ...int) uint64 {
	h := fnv.New64a()
	data := binary.LittleEndian.AppendUint64([]byte(name), o.Seed)
	for _, x := range at {
		data = binary.LittleEndian.AppendUint64(data, uint64(x))
	}
	h.Write(data) // never fails
	return h.Sum64()
}

// learn makes the optimizer steps of a rollout step.
func (r *optimization) learn(rollouts []*rollout, record *run.PolicyStep) error {
	n := r.opt.minibatches()
	total := r.opt.steps * r.opt.NumPPOEpochs * n
	n = min(n, len(rollouts)) // dynamic sampling may not fill the batch
	kl := 0.0
	if r.opt.KLInLoss {
		kl = r.state.KL
	}
	for u := range r.opt.NumPPOEpochs {
		order := r.opt.stream("minibatch", r.state.Step, u).Perm(len(rollouts))
		for b := range n {
			var some []*rollout
			for _, i := range order[b*len(order)/n : (b+1)*len(order)/n] {
				some = append(some, rollouts[i])
			}
			rate := r.opt.Optimizer.Rate(r.state.Updates, total)
			p, err := r.step(some, kl, rate/r.opt.Optimizer.LR, r.state.Updates+1)
			if err != nil {
				if bad := (*optim.NonFiniteError)(nil); errors.As(err, &bad) {
					err = fmt.Errorf("%w: lower train.lr, set train.clip, or clip the reward (rlhf.reward_clip)",
						err)
				}
				return err
			}
			r.state.Updates++
			addUpdate(record, p, 1/float64(r.opt.NumPPOEpochs*n))
			record.LR = rate
		}
	}
	return nil
}
