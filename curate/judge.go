package curate

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"unicode/utf8"

	"haf/eval"
	"haf/pref"
)

// ByScorer is a judge that ranks by rewards: a gold reward model instead of a language model.
type ByScorer struct{ pref.Scorer }

// scorerPortion is how many trials a scorer reads at once. The last bits of a reward depend on the
// other texts read with it, so a portion is read whole or not at all.
const scorerPortion = 64

// Judge ranks the responses of each trial by falling reward. Equal rewards have equal ranks.
func (j ByScorer) Judge(
	ctx context.Context, trials []pref.Trial, done func(i int, v pref.Verdict) error,
) error {
	for from := 0; from < len(trials); from += scorerPortion {
		part := trials[from:min(from+scorerPortion, len(trials))]
		var flat []pref.Sample
		for _, t := range part {
			flat = append(flat, pref.Group{Prompt: t.Prompt, Responses: t.Responses}.Samples()...)
		}
		rewards, err := scoreAll(ctx, j.Scorer, flat)
		if err != nil {
			return fmt.Errorf("curate: judging by rewards: %w", err)
		}
		for i, t := range part {
			n := len(t.Responses)
			of := rewards[:n:n]
			if err := done(from+i, pref.Verdict{Ranks: ranksOf(of), Rewards: of}); err != nil {
				return err
			}
			rewards = rewards[n:]
		}
	}
	return nil
}

// ranksOf returns the rank of each reward: 1 for the largest, else one more than the number of
// larger rewards.
func ranksOf(rewards []float64) []int {
	ranks := make([]int, len(rewards))
	for i, r := range rewards {
		ranks[i] = 1
		for _, other := range rewards {
			if other > r {
				ranks[i]++
			}
		}
	}
	return ranks
}

// Align makes a trial of the responses that several outputs have for the same prompt, in the order
// of the first output. If a prompt occurs several times, it is matched in order. missing counts the
// samples without a match in all other outputs.
func Align(outputs [][]pref.Sample) (trials []pref.Trial, missing int) {
	type key struct {
		prompt pref.PromptKey
		n      int
	}
	index := make([]map[key]string, len(outputs))
	var order []key
	prompts := map[key][]pref.Message{}
	total := 0
	for i, samples := range outputs {
		index[i] = map[key]string{}
		seen := map[pref.PromptKey]int{}
		for _, s := range samples {
			k := key{prompt: pref.Group{Prompt: s.Prompt}.PromptKey()}
			k.n = seen[k.prompt]
			seen[k.prompt]++
			index[i][k] = s.Response
			if i == 0 {
				order = append(order, k)
				prompts[k] = s.Prompt
			}
		}
		total += len(samples)
	}
	for _, k := range order {
		t := pref.Trial{Prompt: prompts[k]}
		for i := range outputs {
			if response, ok := index[i][k]; ok {
				t.Responses = append(t.Responses, response)
			}
		}
		if len(t.Responses) == len(outputs) {
			trials = append(trials, t)
		}
	}
	return trials, total - len(trials)*len(outputs)
}

// A Judged row is a trial with its verdicts, one for each order in which the responses were shown.
type Judged struct {
	Prompt    []pref.Message `json:"prompt"`
	Responses []string       `json:"responses"`
	Verdicts  []Shown        `json:"verdicts"`
}

// A Shown verdict: Order lists the responses in the order shown. Ranks and Rewards are in the order
// of the trial; Ranks is nil if the judge gave no usable verdict.
type Shown struct {
	Order []int `json:"order"`
	pref.Verdict
}

// Contest has every trial judged: two responses in both orders, more in one order drawn from the
// seed. It takes verdicts from the journal instead of asking again. If the journal has only a part
// of a portion of a [ByScorer], it reads the whole portion again, so that a resumed contest has the
// same bits. The journal also records the usage.
func Contest(
	ctx context.Context, judge pref.Judge, trials []pref.Trial, seed uint64, journal *Journal,
	progress func(done, total int),
) ([]Judged, pref.Usage, error) {
	rows := make([]Judged, len(trials))
	type place struct{ trial, verdict int }
	var places []place
	var asked, all []pref.Trial
	var every []place
	var kept []bool // verdicts in the journal, parallel to every and all
	var used pref.Usage
	done, total := 0, 0
	name := func(p place) string { return fmt.Sprintf("verdict %d %d", p.trial, p.verdict) }
	for i, t := range trials {
		rows[i] = Judged{Prompt: t.Prompt, Responses: t.Responses}
		// The order depends on the prompt, not on its position among the trials.
		key := pref.Group{Prompt: t.Prompt}.PromptKey()
		random := rand.New(rand.NewPCG(seed, binary.LittleEndian.Uint64(key[:])))
		for v, order := range orders(len(t.Responses), random) {
			rows[i].Verdicts = append(rows[i].Verdicts, Shown{Order: order})
			total++
			have, err := journal.Get(name(place{i, v}), &rows[i].Verdicts[v])
			if err != nil {
				return nil, used, err
			}
			if have {
				done++
				used.Add(rows[i].Verdicts[v].Usage)
			}
			shown := pref.Trial{Prompt: t.Prompt}
			for _, k := range order {
				shown.Responses = append(shown.Responses, t.Responses[k])
			}
			every, all = append(every, place{i, v}), append(all, shown)
			kept = append(kept, have)
		}
	}
	portion := 1
	if _, ok := judge.(ByScorer); ok {
		portion = scorerPortion
	}
	known := map[place]bool{} // in the journal, but asked again with the rest of its portion
	for from := 0; from < len(all); from += portion {
		to := min(from+portion, len(all))
		if !slices.Contains(kept[from:to], false) {
			continue
		}
		places, asked = append(places, every[from:to]...), append(asked, all[from:to]...)
		for i := from; i < to; i++ {
			known[every[i]] = kept[i]
		}
	}
	if progress != nil {
		progress(done, total)
	}
	if len(asked) == 0 {
		return rows, used, nil
	}
	err := judge.Judge(ctx, asked, func(i int, v pref.Verdict) error {
		p := places[i]
		if known[p] {
			return nil
		}
		shown := &rows[p.trial].Verdicts[p.verdict]
		shown.Verdict = v
		if v.Ranks != nil {
			if len(v.Ranks) != len(shown.Order) {
				return fmt.Errorf("curate: the judge ranked %d of %d responses", len(v.Ranks), len(shown.Order))
			}
			shown.Ranks = inTrial(v.Ranks, shown.Order)
		}
		if v.Rewards != nil {
			shown.Rewards = inTrial(v.Rewards, shown.Order)
		}
		used.Add(v.Usage)
		done++
		if progress != nil {
			progress(done, total)
		}
		return journal.Put(name(p), shown)
	})
	return rows, used, err
}

// inTrial reorders values of responses from the order in which they were shown to the order of the
// trial.
func inTrial[T any](shown []T, order []int) []T {
	out := make([]T, len(order))
	for at, k := range order {
		out[k] = shown[at]
	}
	return out
}

// orders returns the orders in which n responses are shown.
func orders(n int, random *rand.Rand) [][]int {
	if n == 2 {
		return [][]int{{0, 1}, {1, 0}}
	}
	return [][]int{random.Perm(n)}
}

// Matchups returns the verdicts on pairs for [eval.NewWinRate]; response 0 is a, response 1 is b.
func Matchups(rows []Judged) []eval.Matchup {
	matchups := make([]eval.Matchup, len(rows))
	for i, row := range rows {
		b := &matchups[i]
		b.LengthA, b.LengthB = utf8.RuneCountInString(row.Responses[0]),
			utf8.RuneCountInString(row.Responses[1])
		for _, v := range row.Verdicts {
			found := eval.NoVerdict
			switch {
			case v.Ranks == nil:
			case v.Ranks[0] < v.Ranks[1]:
				found = eval.WinA
			case v.Ranks[0] > v.Ranks[1]:
				found = eval.WinB
			default:
				found = eval.Tie
			}
			if v.Order[0] == 0 {
				b.AFirst = found
			} else {
				b.BFirst = found
			}
		}
	}
	return matchups
}

// Rankings returns the ranks of each trial with a verdict.
func Rankings(rows []Judged) [][]int {
	var out [][]int
	for _, row := range rows {
		if ranks := row.Verdicts[0].Ranks; ranks != nil {
			out = append(out, ranks)
		}
	}
	return out
}

// Hash identifies the input of work, for the settings of a journal.
func Hash(v any) (string, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("curate: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// agreed returns the order on which both verdicts on a pair agree: −1 if the first is better, 1 if
// the second is, 0 for a tie, disagreement or no verdict.
func (j Judged) agreed() int {
	sum := 0
	for _, v := range j.Verdicts {
		if v.Ranks == nil {
			return 0
		}
		sum += sign(v.Ranks[0] - v.Ranks[1])
	}
	return sign(sum)
}

// rewards returns the judge's rewards in the order of the trial, from the first verdict that has
// some, because the order shown does not change a reward. It returns nil for a judge that only
// ranks.
func (j Judged) rewards() []float64 {
	for _, v := range j.Verdicts {
		if v.Rewards != nil {
			return v.Rewards
		}
	}
	return nil
}

func sign(x int) int { return max(-1, min(1, x)) }
