package eval

import (
	"cmp"
	"slices"

	"gonum.org/v1/gonum/stat"

	"haf/pref"
)

// A LengthBias measures how much the rewards depend on length. Lengths are characters.
type LengthBias struct {
	Longer          int     `json:"longer"` // comparisons whose chosen response is longer
	Shorter         int     `json:"shorter"`
	Equal           int     `json:"equal"`
	AccuracyLonger  float64 `json:"accuracy_longer"` // 0 without such comparisons
	AccuracyShorter float64 `json:"accuracy_shorter"`
	AccuracyEqual   float64 `json:"accuracy_equal"`
	// LongerRate is how often the longer response of a comparison has the higher reward; a tie counts
	// half. Compare it with ChosenLongerRate, how often the longer response is the preferred one.
	LongerRate       float64 `json:"longer_rate"`
	ChosenLongerRate float64 `json:"chosen_longer_rate"`
	// Pearson and Spearman correlate reward and length within prompts. The mean over the prompt's
	// responses is first subtracted, from values (Pearson) or from mid-ranks within the prompt
	// (Spearman), so that easy or long prompts have no influence. 0 if lengths or rewards do not vary.
	Pearson  float64 `json:"pearson"`
	Spearman float64 `json:"spearman"`
}

// Lengths measures the length bias of rewards. Errors are those of [Comparisons].
func Lengths(groups []pref.Group, rewards [][]float64) (LengthBias, error) {
	if err := check(groups, rewards); err != nil {
		return LengthBias{}, err
	}
	var b LengthBias
	var longer, shorter, equal float64
	all := responseLengths(groups)
	for g, group := range groups {
		lengths := all[g]
		for _, c := range group.Comparisons {
			credit := creditOf(rewards[g][c.Chosen] - rewards[g][c.Rejected])
			switch cmp.Compare(lengths[c.Chosen], lengths[c.Rejected]) {
			case 1:
				b.Longer++
				longer += credit
			case -1:
				b.Shorter++
				shorter += credit
			default:
				b.Equal++
				equal += credit
			}
		}
	}
	b.AccuracyLonger, b.AccuracyShorter, b.AccuracyEqual = ratio(longer, b.Longer),
		ratio(shorter, b.Shorter), ratio(equal, b.Equal)
	b.LongerRate = ratio(longer+float64(b.Shorter)-shorter, b.Longer+b.Shorter)
	b.ChosenLongerRate = ratio(float64(b.Longer), b.Longer+b.Shorter)
	var reward, length, rewardRank, lengthRank []float64
	for _, v := range byPrompt(groups, rewards, all) {
		reward, length = append(reward, centred(v.reward)...), append(length, centred(v.length)...)
		rewardRank, lengthRank = append(rewardRank, centred(ranks(v.reward))...),
			append(lengthRank, centred(ranks(v.length))...)
	}
	b.Pearson, b.Spearman = correlation(reward, length), correlation(rewardRank, lengthRank)
	return b, nil
}

// A promptValues holds the rewards and lengths of the responses of one prompt.
type promptValues struct{ reward, length []float64 }

// byPrompt gathers the responses of each prompt, from whatever group, so that they are compared
// with one another; prompts are in the order in which they are first seen.
func byPrompt(groups []pref.Group, rewards, lengths [][]float64) []promptValues {
	var values []promptValues
	at := map[pref.PromptKey]int{}
	for g, group := range groups {
		key := group.PromptKey()
		i, ok := at[key]
		if !ok {
			i = len(values)
			at[key] = i
			values = append(values, promptValues{})
		}
		values[i].reward = append(values[i].reward, rewards[g]...)
		values[i].length = append(values[i].length, lengths[g]...)
	}
	return values
}

// check is what every measure asks of groups and their rewards.
func check(groups []pref.Group, rewards [][]float64) error {
	if err := checkGroups(groups); err != nil {
		return err
	}
	return checkRewards(groups, rewards, 0)
}

func centred(x []float64) []float64 {
	mean := stat.Mean(x, nil)
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = v - mean
	}
	return out
}

// ranks from 1; equal values share the mean of their ranks.
func ranks(x []float64) []float64 {
	order := make([]int, len(x))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(x[a], x[b]) })
	out := make([]float64, len(x))
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && x[order[to]] == x[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			out[i] = float64(from+to+1) / 2
		}
		from = to
	}
	return out
}

// correlation is Pearson's, 0 where one side does not vary.
func correlation(x, y []float64) float64 {
	if len(x) < 2 || stat.Variance(x, nil) == 0 || stat.Variance(y, nil) == 0 {
		return 0
	}
	return stat.Correlation(x, y, nil)
}
