package curate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"haf/eval"
	"haf/pref"
	"haf/rewarder"
)

// Strategies of [Relabel] that label by the model's own rewards. The other strategies,
// [ByConflict], [ByChance] and [ByMargin], select pairs for a judge.
const (
	AllPairs  = "pairs"      // every comparison
	BestPairs = "best-worst" // one pair per group
	AllScores = "scores"     // every group, with the rewards of its responses
)

// Selects reports whether a strategy selects pairs for a judge.
func Selects(strategy string) bool {
	return strategy != AllPairs && strategy != BestPairs && strategy != AllScores
}

// CheckLabeller returns an error, in the words of the flags, if a strategy lacks its labeller or
// does not use a given one. server and gold say whether -url and -gold are given, sharded whether
// the work is divided.
func CheckLabeller(strategy string, server, gold, sharded bool, threshold float64) error {
	selects := Selects(strategy)
	switch {
	case selects && sharded:
		return fmt.Errorf("-strategy %s selects among all groups, so its work cannot be divided: leave "+
			"out -shard", strategy)
	case selects && server == gold:
		return fmt.Errorf("-strategy %s wants a labeller: -url or -gold", strategy)
	case !selects && server:
		return fmt.Errorf("-strategy %s labels by the model's own reward: leave out -url", strategy)
	case strategy == AllScores && (gold || threshold != 0):
		return errors.New("-strategy scores writes what MODEL says of every response: leave out " +
			"-gold and -threshold")
	}
	return nil
}

// A NamedScorer is a reward opened for one flow.
type NamedScorer struct {
	*rewarder.Scorer
	Close func()
}

// RelabelOptions set how [Relabel] labels.
type RelabelOptions struct {
	JudgeOptions // Seed also seeds the selection
	Strategy     string
	Threshold    float64 // pairs whose rewards differ by less are left out
	Budget       int     // maximum number of pairs judged
	Model        string  // the model's name in labels and warnings
	Reward       string  // the model's reward; "" is the default
	// the rewards of the score head and the policy head, whose conflict selects pairs
	Heads [2]string

	// Each is opened when needed, and closed before the next is opened.
	OpenModel func() (pref.Rewarder, error)
	OpenGold  func() (*NamedScorer, error) // the gold reward for recall; may be nil
	OpenJudge func() (OpenJudge, error)    // for strategies that select
}

// Relabelled describes the result of [Relabel].
type Relabelled struct {
	Out      string       `json:"out"`
	Strategy string       `json:"strategy"`
	Counts   Counts       `json:"counts"`
	Recall   *eval.Recall `json:"recall,omitempty"` // of the best response by gold
	Usage    *pref.Usage  `json:"usage,omitempty"`
	Cost     float64      `json:"cost,omitempty"`

	rows int
	what string // name of the rows, such as pairs
}

// Relabel labels the comparisons of groups by a strategy and writes them. It leaves out groups that
// the model's chat template refuses.
func Relabel(
	ctx context.Context, groups []pref.Group, opt RelabelOptions,
) (Relabelled, error) {
	if Selects(opt.Strategy) {
		return relabelSelected(ctx, groups, opt)
	}
	groups, err := take(&opt.Part, groups)
	if err != nil {
		return Relabelled{}, err
	}
	out := Relabelled{Out: opt.Out, Strategy: opt.Strategy, what: "pairs"}
	journal, err := openJournal(opt.Out, map[string]string{"strategy": opt.Strategy}, &opt.Part)
	if err != nil {
		return out, err
	}
	defer func() { _ = journal.Close() }() // does nothing after finish
	groups, own, err := opt.read(ctx, groups, opt.Reward)
	if err != nil {
		return out, err
	}
	if opt.Strategy == AllScores {
		rows, counts := ByScores(groups, own[0], opt.Model)
		out.Counts, out.what = counts, "groups"
		return finish(journal, rows, out)
	}
	label := ByRewards
	if opt.Strategy == BestPairs {
		label = BestWorst
	}
	rows, counts, err := label(groups, own[0], opt.Model, opt.Threshold)
	if err != nil {
		return out, err
	}
	out.Counts = counts
	if opt.OpenGold != nil {
		if out.Recall, err = opt.recall(ctx, groups, own[0]); err != nil {
			return out, err
		}
	}
	return finish(journal, rows, out)
}

// relabelSelected has a judge label the pairs that the model's two heads select.
func relabelSelected(
	ctx context.Context, groups []pref.Group, opt RelabelOptions,
) (Relabelled, error) {
	out := Relabelled{Out: opt.Out, Strategy: opt.Strategy, what: "pairs"}
	groups, heads, err := opt.read(ctx, groups, opt.Heads[0], opt.Heads[1])
	if err != nil {
		return out, err
	}
	picks, err := Select(groups, heads[0], heads[1], opt.Strategy, opt.Budget, opt.Seed)
	if err != nil {
		return out, err
	}
	c, err := contest(ctx, opt.OpenJudge, Trials(groups, picks), false,
		map[string]any{"strategy": opt.Strategy}, opt.JudgeOptions)
	if err != nil {
		return out, err
	}
	defer func() { _ = c.journal.Close() }() // does nothing after finish
	rows, counts, err := ByVerdicts(groups, picks, c.rows, c.judge)
	if err != nil {
		return out, err
	}
	out.Counts, out.Usage, out.Cost = counts, &c.used, opt.Price.Of(c.used)
	return finish(c.journal, rows, out)
}

// read returns the model's rewards of every response: [reward][group][response]. It also returns
// the groups that the model's template does not refuse.
func (opt RelabelOptions) read(
	ctx context.Context, groups []pref.Group, names ...string,
) (kept []pref.Group, rewards [][][]float64, err error) {
	model, err := opt.OpenModel()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, model.Close()) }()
	kept, err = keepAccepted(opt.Reporter, groups, "groups",
		func(g pref.Group) []pref.Message { return g.Prompt }, model)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range names {
		s, err := rewarder.NewScorer(ctx, model, name)
		if err != nil {
			return nil, nil, err
		}
		of, err := eval.ScoreAll(ctx, kept, s, opt.pass("scoring by "+s.Name()))
		if err != nil {
			return nil, nil, err
		}
		if t := s.Truncated(); i == 0 && t.Cut > 0 { // every reward cuts the same texts
			opt.notef("warning: %s: %s", opt.Model, t)
		}
		rewards = append(rewards, of)
	}
	return kept, rewards, nil
}

// recall returns how often the best response by gold is among the best by rewards.
func (opt RelabelOptions) recall(
	ctx context.Context, groups []pref.Group, rewards [][]float64,
) (*eval.Recall, error) {
	by, err := opt.OpenGold()
	if err != nil {
		return nil, err
	}
	defer by.Close()
	gold, err := eval.ScoreAll(ctx, groups, by, opt.pass("scoring by "+by.Name()))
	if err != nil {
		return nil, err
	}
	most := 0
	for _, g := range groups {
		most = max(most, len(g.Responses))
	}
	return Recall(groups, rewards, gold, most)
}

// finish writes the rows. It returns an error if there are none, except for a part.
func finish[T any](journal *Journal, rows []T, out Relabelled) (Relabelled, error) {
	out.rows = len(rows)
	switch {
	case journal.part != nil:
	case len(rows) == 0 && out.Strategy == AllScores:
		return out, fmt.Errorf("nothing is left: %s", out.Counts)
	case len(rows) == 0:
		return out, fmt.Errorf("no pair is left: %s; a smaller -threshold keeps more", out.Counts)
	}
	return out, Finish(journal, rows)
}

// Write writes the recall, if it was measured.
func (r Relabelled) Write(w io.Writer) error {
	if r.Recall == nil {
		return nil
	}
	_, err := fmt.Fprintf(w, "recall of the gold reward's best, k = 1, 2, …: %.4f; by chance %.4f\n",
		r.Recall.At, r.Recall.Random)
	return err
}

// String is a line about the result.
func (r Relabelled) String() string {
	return fmt.Sprintf("%d %s are in %s; %s", r.rows, r.what, r.Out, r.Counts)
}
