package rlhf

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"time"

	"haf/lm"
	"haf/optim"
	"haf/pref"
	"haf/reward"
	"haf/run"
)

// A Task is what is optimized: a policy's answers to prompts, by a scorer.
type Task struct {
	Policy *reward.Model // opened for training; as it is opened it is the reference, too
	Critic *reward.Model // of ValueSeparate, opened for training; else nil
	// Prompts are conversations that end where the policy answers.
	Prompts [][]pref.Message
	Scorer  pref.Scorer
	// MaxLength is the most tokens of prompt and response together: a prompt that leaves no room
	// for Options.MaxTokens is left out. 0 is no limit.
	MaxLength int
}

// Result is what a run came to.
type Result struct {
	Steps       int
	First, Last run.PolicyStep // of the steps that this call made
	Programs    int
	Seconds     float64
}

// state is what a checkpoint holds besides tensors. Its steps are those of rollouts.
type state struct {
	run.State
	Updates int     `json:"updates"` // optimizer steps
	KL      float64 `json:"kl_coefficient"`
	Running Running `json:"running"`
	Short   int     `json:"short"` // steps in a row of too short responses
}

// ModelsName is the folder, inside a run's, of the policies that Options.SaveEvery keeps.
const ModelsName = "models"

// optimization is one optimization in progress.
type optimization struct {
	Task
	*learner
	generator *lm.Generator
	folder    *run.Folder
	progress  run.Progress

	prompts [][]int32 // tokens of Task.Prompts
	state   state
	result  Result
}

// Run optimizes the policy and leaves the run in the folder, which may hold a checkpoint to resume
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
	r := &optimization{Task: task, folder: folder, progress: progress}
	if err := r.encode(opt); err != nil {
		return Result{}, err
	}
	opt = opt.forPrompts(len(r.prompts))
	progress.Logf("%s: %d steps of %d prompts with %d responses each, %d optimizer steps in all",
		opt.Algorithm, opt.steps, opt.Batch, opt.NumGenerations, opt.steps*opt.NumPPOEpochs*opt.minibatches())
	var err error
	if r.learner, err = newLearner(task.Policy, task.Critic, opt); err != nil {
		return Result{}, err
	}
	defer r.learner.close()
	r.generator = task.Policy.TokenGenerator(opt.Rows)
	defer r.generator.Close()
	for _, p := range r.prompts {
		// One length, so that all steps run the same programs.
		r.generator.MinCacheLen = max(r.generator.MinCacheLen, len(p)+opt.MaxTokens)
	}
	defer folder.Close()
	if err := r.restore(); err != nil {
		return Result{}, err
	}
	began := time.Now()
	err = r.loop(ctx)
	r.result.Seconds, r.result.Steps = time.Since(began).Seconds(), r.state.Step
	r.result.Programs = r.programs() + r.generator.Programs()
	if err != nil {
		return r.result, err
	}
	task.Policy.Meta.Heads = []string{"policy"}
	return r.result, task.Policy.Save(folder.Join(run.ModelName))
}

// encode makes tokens of the prompts and leaves out those that are too long.
func (r *optimization) encode(opt Options) error {
	most := r.MaxLength
	if longest := r.Policy.Config.MaxLength(); longest > 0 && (most == 0 || longest < most) {
		most = longest
	}
	var kept [][]pref.Message
	for i, messages := range r.Prompts {
		tokens, err := r.Policy.Encoder.Prompt(messages)
		if err != nil {
			return fmt.Errorf("rlhf: prompt %d: %w", i+1, err)
		}
		if most > 0 && len(tokens)+opt.MaxTokens > most {
			continue
		}
		kept, r.prompts = append(kept, messages), append(r.prompts, tokens)
	}
	if len(kept) == 0 {
		return fmt.Errorf("rlhf: none of %d prompts leaves room for %d tokens of response in a length of %d: raise the length, or lower the response's", len(r.Prompts), opt.MaxTokens, most)
	}
	r.progress.Logf("prompts: %d, %d left out as too long", len(kept), len(r.Prompts)-len(kept))
	r.Prompts = kept
	return nil
}

// restore loads the newest checkpoint, where there is one.
func (r *optimization) restore() error {
	r.state = state{KL: r.opt.KL.Start, State: run.State{Fingerprint: r.opt.Fingerprint}}
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
	return r.folder.OpenMetrics(r.state.Step, false)
}

func (r *optimization) checkpoint() error { return r.folder.SaveCheckpoint(&r.state, r.save) }

// loop makes the steps that are left.
func (r *optimization) loop(ctx context.Context) error {
	r.progress.StartPhase(r.opt.Algorithm, r.opt.steps)
	defer r.progress.EndPhase()
	r.progress.Update(r.state.Step, "")
	for r.state.Step < r.opt.steps {
		before := r.state
		err := r.rolloutStep(ctx)
		if err != nil {
			r.state = before
		}
		if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
			if err := r.checkpoint(); err != nil {
				return err
			}
			return run.ErrInterrupted
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", r.state.Step+1, err)
		}
		step, last := r.state.Step, r.state.Step == r.opt.steps
		if every := r.opt.SaveEvery; every > 0 && step%every == 0 && !last {
			if err := r.keepModel(); err != nil {
				return err
			}
		}
		if every := r.opt.CheckpointEvery; every > 0 && step%every == 0 && !last {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepModel saves the policy as it is now.
func (r *optimization) keepModel() error {
	dir := r.folder.Join(ModelsName, fmt.Sprintf("step-%06d", r.state.Step))
	if err := os.RemoveAll(dir); err != nil { // of the same step, before the run was stopped
		return fmt.Errorf("rlhf: %w", err)
	}
	return r.Policy.Save(dir)
}

// rolloutStep makes one step: rollouts, rewards, advantages, updates. After an error the weights
// are as they were, or have made a part of the step's updates.
func (r *optimization) rolloutStep(ctx context.Context) error {
	began := time.Now()
	rollouts, err := r.generate(ctx)
	if err != nil {
		return err
	}
	generated := time.Since(began)
	if err := r.score(ctx, rollouts); err != nil {
		return err
	}
	scored := time.Since(began)
	if err := r.readAll(rollouts); err != nil {
		return err
	}
	r.opt.advantages(rollouts, r.state.KL)
	record := r.measure(rollouts)
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
	r.state.KL = r.opt.KL.Next(r.state.KL, record.KL, r.opt.Batch*r.opt.NumGenerations)
	r.state.Step++
	record.Seconds, record.GenerateSeconds, record.ScoreSeconds = time.Since(began).Seconds(), generated.Seconds(), (scored - generated).Seconds()
	if r.result.First.Step == 0 {
		r.result.First = record
	}
	r.result.Last = record
	r.progress.Update(r.state.Step, fmt.Sprintf(
		"reward %.3f, KL %.3f, length %.1f, EOS rate %.2f, entropy %.2f",
		record.Reward, record.KL, record.Length, record.EOSRate, record.Entropy))
	return r.folder.Record(record)
}

// stream is a random stream of the run, named by what it is for and where.
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

// chosen are the prompts of a step: each epoch goes through all of them in an order of its own, but
// for what is left over.
func (o Options) chosen(step, prompts int) []int {
	perEpoch := prompts / o.Batch
	order := o.stream("order", step/perEpoch).Perm(prompts)
	at := step % perEpoch * o.Batch
	return order[at : at+o.Batch]
}

// generate lets the policy answer the step's prompts.
func (r *optimization) generate(ctx context.Context) ([]*rollout, error) {
	end := r.Policy.EndTokens()
	var rollouts []*rollout
	var requests []lm.Request
	for i, p := range r.opt.chosen(r.state.Step, len(r.prompts)) {
		rollouts = append(rollouts, &rollout{messages: r.Prompts[p], prompt: r.prompts[p], responses: make([]*response, r.opt.NumGenerations)})
		for k := range r.opt.NumGenerations {
			q := lm.Request{Prompt: r.prompts[p], MaxTokens: r.opt.MaxTokens, End: end, Sampling: r.opt.Sampling}
			q.Sampling.Seed = r.opt.seed("sampling", r.state.Step, i, k)
			if len(r.opt.Stop) > 0 {
				q.Stop = func(tokens []int32) bool {
					_, found := reward.CutAt(r.text(tokens), r.opt.Stop)
					return found
				}
			}
			requests = append(requests, q)
		}
	}
	err := r.generator.Run(ctx, r.Policy.Arguments(), requests, func(i int, s lm.Sequence) error {
		a := &response{tokens: s.Tokens, ended: s.Ended != lm.EndedByLength}
		a.text, _ = reward.CutAt(r.text(s.Tokens), r.opt.Stop)
		rollouts[i/r.opt.NumGenerations].responses[i%r.opt.NumGenerations] = a
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rlhf: generating: %w", err)
	}
	return rollouts, nil
}

func (r *optimization) text(tokens []int32) string { return r.Policy.Tokenizer.Decode(tokens, true) }

// score asks the scorer and shapes the rewards.
func (r *optimization) score(ctx context.Context, rollouts []*rollout) error {
	var samples []pref.Sample
	for _, p := range rollouts {
		for _, a := range p.responses {
			samples = append(samples, pref.Sample{Prompt: p.messages, Response: a.text})
		}
	}
	scores, err := r.Scorer.Score(ctx, samples)
	if err != nil {
		return fmt.Errorf("rlhf: scoring: %w", err)
	}
	if len(scores) != len(samples) {
		return fmt.Errorf("rlhf: the scorer gave %d rewards for %d responses", len(scores), len(samples))
	}
	for i, s := range scores {
		if s-s != 0 {
			return fmt.Errorf("rlhf: the reward of response %.60q is %v: look at the reward model", samples[i].Response, s)
		}
	}
	running := r.state.Running
	running.Add(scores)
	for _, p := range rollouts {
		for _, a := range p.responses {
			a.score = scores[0]
			scores = scores[1:]
			a.shaped = r.opt.Shaping.Shape(a.score, a.tokens, a.ended, running)
		}
	}
	r.state.Running = running
	return nil
}

// learn makes the optimizer steps of a step.
func (r *optimization) learn(rollouts []*rollout, record *run.PolicyStep) error {
	n := r.opt.minibatches()
	total := r.opt.steps * r.opt.NumPPOEpochs * n
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
					err = fmt.Errorf("%w: lower train.lr, set train.clip, or clip the reward (rlhf.reward_clip)", err)
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
