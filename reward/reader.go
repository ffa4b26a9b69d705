package reward

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"haf/encode"
	"haf/pack"
	"haf/pref"
)

// ReaderOptions are the options of a [Reader].
type ReaderOptions struct {
	// CacheDir is the folder for the reference's log-probabilities; "" keeps them in memory.
	CacheDir string
	// Batch is the number of independently read responses that are packed and read at a time; 0: all
	// of a call.
	Batch int
	// Log, if not nil, gets a line about the groups as tokens, and warnings of rewards without
	// meaning.
	Log func(format string, args ...any)
	// Progress, if not nil, is called with the finished part of a pass over the data.
	Progress func(pass string, done, total int)
}

// A Reader reads the rewards of a model. It is a [pref.Rewarder] and a [pref.Refuser].
type Reader struct {
	model *Model
	opt   ReaderOptions

	mu        sync.Mutex
	reference *Reference // once it is needed
	warned    bool
}

// Reader returns the model as a Rewarder. Closing it closes the model.
func (m *Model) Reader(opt ReaderOptions) *Reader {
	if opt.Log == nil {
		opt.Log = func(string, ...any) {}
	}
	if opt.Progress == nil {
		opt.Progress = func(string, int, int) {}
	}
	return &Reader{model: m, opt: opt}
}

// Model returns the model that is read.
func (r *Reader) Model() *Model { return r.model }

// Rewards implements [pref.Rewarder]: the rewards of the trained heads. Those of the other heads
// can be read by name.
func (r *Reader) Rewards() []string { return r.model.TrainedRewards() }

// Close implements [pref.Rewarder].
func (r *Reader) Close() error {
	r.model.Close()
	return nil
}

// Refuses implements [pref.Refuser].
func (r *Reader) Refuses(prompt []pref.Message) error { return r.model.Refuses(prompt) }

// Refuses returns an error, of encode.ErrRefused, if the model's chat template refuses the prompt
// or an answer to it.
func (m *Model) Refuses(prompt []pref.Message) error {
	_, _, err := m.Encoder.Conversation(prompt, "a")
	if errors.Is(err, encode.ErrRefused) {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
}

// Read implements [pref.Rewarder]. It reads the model's heads in one pass and, for an implicit
// reward, the reference's in another.
func (r *Reader) Read(
	ctx context.Context, groups []pref.Group, names []string,
) (pref.Readings, error) {
	if len(names) == 0 {
		names = r.Rewards()
	}
	p, err := r.prepare(names)
	if err != nil {
		return pref.Readings{}, err
	}
	out := pref.Readings{Names: names, Cut: r.cut(), Rewards: map[string][][]float64{},
		Refused: map[int]error{}}
	var compared, alone []int // by position
	for i, g := range groups {
		if g.Compared() {
			compared = append(compared, i)
		} else {
			alone = append(alone, i)
		}
	}
	if len(compared) > 0 {
		if err := r.readCompared(ctx, p, groups, compared, &out); err != nil {
			return out, err
		}
	}
	if len(alone) > 0 {
		if err := r.readAlone(ctx, p, groups, alone, &out); err != nil {
			return out, err
		}
	}
	if len(compared) > 0 && len(alone) > 0 {
		sortReadings(&out)
	}
	return out, nil
}

// A pass is what rewards are read by.
type pass struct {
	names     []string // as they were asked for
	resolved  []string // the default by its name
	formula   Formula
	reference *Reference // nil where no implicit reward is asked for
	// seen has the rewards of the conversations that were read so far, in the order of names
	seen map[responseKey][]float64
}

// unify gives a conversation that is read several times the rewards that it was given first,
// rewards[name][group][response]. Read in another batch it has values a rounding apart, which would
// order one response above itself.
func (p pass) unify(groups []encode.Group, rewards [][][]float64) {
	for g := range groups {
		for k, response := range groups[g].Responses {
			key := keyOf(groups[g].Prompt, response)
			first, again := p.seen[key]
			for i := range rewards {
				if again {
					rewards[i][g][k] = first[i]
				} else {
					first = append(first, rewards[i][g][k])
				}
			}
			p.seen[key] = first
		}
	}
}

// prepare checks that the model has the named rewards and opens the reference where it is needed.
func (r *Reader) prepare(names []string) (p pass, err error) {
	p.names, p.resolved = names, slices.Clone(names)
	p.seen = map[responseKey][]float64{}
	for i, name := range names {
		if name == "" {
			p.resolved[i] = r.Rewards()[0]
		}
	}
	if p.formula, err = r.model.formula(p.resolved); err != nil {
		return p, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.model.ScoreHeadUntrained && !r.warned && slices.Contains(p.resolved, ByScore) {
		r.warned = true
		r.opt.Log("haf: warning: %s", r.model.UntrainedWarning())
	}
	if needs(p.resolved)&PolicyHead == 0 {
		return p, nil
	}
	if r.reference == nil {
		if r.reference, err = r.model.Reference(r.opt.CacheDir); err != nil {
			return p, err
		}
	}
	p.reference = r.reference
	return p, nil
}

// UntrainedWarning is the warning that all rewards of a zero score head are equal.
func (m *Model) UntrainedWarning() string {
	return fmt.Sprintf("the score head of %s is zero, so every score is 0: it was never trained "+
		"(a base model, or reward_weight 0)", m.Dir)
}

// cut describes how the model cuts conversations that are too long.
func (r *Reader) cut() string {
	what := "the beginning of the prompt"
	if r.model.Meta.Truncation == encode.TruncateResponse {
		what = "the end of the response"
	}
	return fmt.Sprintf("%s was cut to fit %d tokens", what, r.model.Meta.MaxLength)
}

// readCompared reads those of the groups whose responses are compared.
func (r *Reader) readCompared(
	ctx context.Context, p pass, groups []pref.Group, at []int, out *pref.Readings,
) error {
	some := make([]pref.Group, len(at))
	for i, index := range at {
		some[i] = groups[index]
	}
	encoded, report, err := r.model.Encoder.Groups(pref.WithTiesCompared(some))
	if err != nil {
		return err
	}
	out.Report = report.String()
	r.opt.Log("tokens: %s", report)
	opt := pack.Options{Positions: r.model.positions}
	rewards, err := r.rewards(ctx, p, encoded, opt, r.opt.Progress)
	if err != nil {
		return err
	}
	for i, name := range p.names {
		out.Rewards[name] = append(out.Rewards[name], rewards[i]...)
	}
	for _, e := range encoded {
		cut := make([]bool, len(e.Responses))
		for k := range cut {
			cut[k] = e.Truncated
		}
		out.Groups, out.Index = append(out.Groups, some[e.Index].Keep(e.Comparisons)),
			append(out.Index, at[e.Index])
		out.Truncated = append(out.Truncated, cut)
	}
	return nil
}

// readAlone reads those of the groups whose responses are read each as if it were alone, some at a
// time.
func (r *Reader) readAlone(
	ctx context.Context, p pass, groups []pref.Group, at []int, out *pref.Readings,
) error {
	var samples []pref.Sample
	for _, index := range at {
		g := groups[index]
		if refused := r.model.unreadable(g); refused != nil {
			out.Refused[index] = refused
			continue
		}
		samples = append(samples, g.Samples()...)
		out.Groups, out.Index = append(out.Groups, g), append(out.Index, index)
	}
	batch := r.opt.Batch
	if batch == 0 {
		batch = max(1, len(samples))
	}
	flat, cut := make([][]float64, len(p.names)), []bool{}
	for part := range slices.Chunk(samples, batch) {
		encoded, places, err := r.model.encodeSamples(part)
		if err != nil {
			return err
		}
		rewards, err := r.rewards(ctx, p, encoded, r.model.requests(), nil)
		if err != nil {
			return err
		}
		for i := range p.names {
			flat[i] = append(flat[i], scatter(places, rewards[i])...)
		}
		for _, at := range places {
			cut = append(cut, encoded[at.group].Truncated)
		}
		if len(samples) > batch {
			r.opt.Progress("scoring", len(cut), len(samples))
		}
	}
	for _, g := range out.Groups[len(out.Truncated):] {
		n := len(g.Responses)
		for i, name := range p.names {
			out.Rewards[name] = append(out.Rewards[name], flat[i][:n:n])
			flat[i] = flat[i][n:]
		}
		out.Truncated, cut = append(out.Truncated, cut[:n:n]), cut[n:]
	}
	return nil
}

// unreadable returns an error if a conversation of the group cannot be read: the chat template
// refuses it, it is longer than the model reads, or it holds a token that the model has no
// embedding for.
func (m *Model) unreadable(g pref.Group) error {
	for _, response := range g.Responses {
		one, err := m.Encoder.Samples(g.Prompt, []string{response})
		if err != nil {
			return fmt.Errorf("reward: %w", err)
		}
		if err := m.checkLengths([]encode.Group{one}); err != nil {
			return err
		}
	}
	return nil
}

// rewards reads the rewards of encoded groups, [name][group][response].
func (r *Reader) rewards(
	ctx context.Context, p pass, groups []encode.Group, opt pack.Options,
	progress func(pass string, done, total int),
) ([][][]float64, error) {
	told := func(name string) func(done, total int) {
		if progress == nil {
			return nil
		}
		return func(done, total int) { progress(name, done, total) }
	}
	var refs [][]float64
	var err error
	if p.reference != nil {
		if refs, _, err = p.reference.LogProbs(ctx, groups, nil, told("reference")); err != nil {
			return nil, err
		}
	}
	heads, err := r.model.read(ctx, groups, needs(p.resolved), opt, told("scoring"))
	if err != nil {
		return nil, err
	}
	out := make([][][]float64, len(p.names))
	for i, name := range p.resolved {
		out[i] = p.formula.Rewards(name, groups, heads, refs)
		for g, rewards := range out[i] {
			for k, x := range rewards {
				if math.IsNaN(x) || math.IsInf(x, 0) {
					return nil, fmt.Errorf("reward: the %s reward of response %d of group %d is %v, want a "+
						"finite number: "+
						"the weights of %s overflow; look at its score head with haf inspect, or read it in float32",
						name, k+1, g+1, x, r.model.Dir)
				}
			}
		}
	}
	p.unify(groups, out)
	return out, nil
}

// sortReadings puts the groups into the order in which they were given.
func sortReadings(r *pref.Readings) {
	order := make([]int, len(r.Index))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return r.Index[a] - r.Index[b] })
	r.Groups, r.Index, r.Truncated = inOrder(r.Groups, order), inOrder(r.Index, order),
		inOrder(r.Truncated, order)
	for name, of := range r.Rewards {
		r.Rewards[name] = inOrder(of, order)
	}
}

func inOrder[T any](of []T, order []int) []T {
	out := make([]T, len(order))
	for i, at := range order {
		out[i] = of[at]
	}
	return out
}

// Variances returns the variance of the named reward of each sample, "" names the default; nil if
// it is not the score, or if the model does not predict the score's variance.
func (r *Reader) Variances(
	ctx context.Context, name string, samples []pref.Sample,
) ([]float64, error) {
	if !r.model.HasVariance || cmp.Or(name, r.Rewards()[0]) != ByScore {
		return nil, nil
	}
	return r.model.Variances(ctx, samples)
}

// Variances returns the variance of the score head's reward of each sample. The model must be
// trained to predict it.
func (m *Model) Variances(ctx context.Context, samples []pref.Sample) ([]float64, error) {
	groups, at, err := m.encodeSamples(samples)
	if err != nil {
		return nil, err
	}
	heads, err := m.read(ctx, groups, VarianceHead, m.requests(), nil)
	if err != nil {
		return nil, err
	}
	out := scatter(at, heads.LogVars)
	for i, u := range out {
		out[i] = m.Meta.Objective.Variance(u)
	}
	return out, nil
}
