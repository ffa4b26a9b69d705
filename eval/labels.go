package eval

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"haf/pref"
)

// A LabelResult compares rewards with the labels of single responses, desirable or not. A reward r
// predicts a desirable response with probability σ(r), so its sign decides. Every mean is over
// responses, each with weight 1; intervals resample prompts.
type LabelResult struct {
	Prompts     int `json:"prompts"`   // distinct ones
	Responses   int `json:"responses"` // n
	Desirable   int `json:"desirable"`
	Undesirable int `json:"undesirable"`
	Correct     int `json:"correct"` // r > 0 if desirable, r < 0 if not
	Ties        int `json:"ties"`    // r = 0

	Accuracy     float64 `json:"accuracy"`     // (Correct + Ties/2) / n
	AccuracyLow  float64 `json:"accuracy_low"` // 95 % interval; see bootstrap
	AccuracyHigh float64 `json:"accuracy_high"`

	// AUC is how often a desirable response has a higher reward than an undesirable one, equal rewards
	// half, over all pairs of them. It does not depend on the threshold 0. It and its interval are 0
	// if there are none of one kind.
	AUC     float64 `json:"auc"`
	AUCLow  float64 `json:"auc_low"` // 95 % interval; see areaUnderCurve
	AUCHigh float64 `json:"auc_high"`

	LogLikelihood float64 `json:"log_likelihood"` // mean of log σ(r) or log σ(−r), by the label; nats
	Brier         float64 `json:"brier"`          // mean of (label − σ(r))²
	ECE           float64 `json:"ece"`            // of the sign and σ(|r|); see calibrationError
}

// Labels measures rewards against the labels of groups: rewards[g][k] is the reward of response k
// of group g. Groups without labels are left out. If no group has labels, the error wraps
// [ErrNoComparisons].
func Labels(groups []pref.Group, rewards [][]float64) (r LabelResult, err error) {
	if err := checkRewards(groups, rewards, 0); err != nil {
		return r, fmt.Errorf("eval: %w", err)
	}
	labelled := func(g pref.Group) bool { return len(g.Labels) > 0 }
	of := clustersOf(groups, labelled)
	var signed []float64 // r, or −r where undesirable
	var all []ranked
	for g, group := range groups {
		if group.Labels != nil && len(group.Labels) != len(group.Responses) {
			return r, fmt.Errorf("eval: %s: %d labels, want one for each of the %d responses",
				name(group, g), len(group.Labels), len(group.Responses))
		}
		for k, desirable := range group.Labels {
			x := rewards[g][k]
			all = append(all, ranked{x, desirable, of.of[g]})
			if desirable {
				r.Desirable++
			} else {
				r.Undesirable++
				x = -x
			}
			signed = append(signed, x)
			credit := creditOf(x)
			of.add(g, credit)
			switch credit {
			case 1:
				r.Correct++
			case 0.5:
				r.Ties++
			}
		}
	}
	if r.Responses = len(signed); r.Responses == 0 {
		return r, fmt.Errorf("eval: no label in %d groups, want at least one: %w", len(groups),
			ErrNoComparisons)
	}
	r.Prompts = of.len()
	r.Accuracy = of.mean()
	var flat bool
	if r.AccuracyLow, r.AccuracyHigh, flat = of.bootstrap(); flat {
		r.AccuracyLow, r.AccuracyHigh = wilson(r.Accuracy, float64(r.Prompts))
	}
	r.AUC, r.AUCLow, r.AUCHigh = areaUnderCurve(all, of.len())
	r.LogLikelihood, r.Brier, r.ECE = logLikelihood(signed), brier(signed), calibrationError(signed)
	return r, nil
}

// ranked is a labelled response with its prompt's cluster.
type ranked struct {
	reward    float64
	desirable bool
	cluster   int
}

// areaUnderCurve is the AUC with its 95 % interval, ± 1.96 standard errors. The error is that of
// DeLong et al. (Biometrics 1988) for clustered data (Obuchowski, Biometrics 1997): responses to
// one prompt are not independent. Where it is zero, as of an AUC of 1, the interval is Wilson's for
// as many trials as the rarer label has responses. All are 0 where a label has none.
func areaUnderCurve(all []ranked, prompts int) (auc, low, high float64) {
	slices.SortFunc(all, func(a, b ranked) int { return cmp.Compare(a.reward, b.reward) })
	var total [2]float64 // undesirable, desirable
	for _, x := range all {
		total[kindOf(x)]++
	}
	rarer := math.Min(total[0], total[1])
	if rarer == 0 {
		return 0, 0, 0
	}
	// placement of a response: the share of those of the other label that it stands right of, or left
	// of if it is undesirable, equal ones half.
	var placed, count [2][]float64 // by cluster: the sum of placements, and how many
	for kind := range placed {
		placed[kind], count[kind] = make([]float64, prompts), make([]float64, prompts)
	}
	var below [2]float64
	for i := 0; i < len(all); {
		var equal [2]float64
		j := i
		for ; j < len(all) && all[j].reward == all[i].reward; j++ {
			equal[kindOf(all[j])]++
		}
		for _, x := range all[i:j] {
			kind := kindOf(x)
			other := 1 - kind
			left := (below[other] + equal[other]/2) / total[other]
			if kind == 0 {
				left = 1 - left
			}
			placed[kind][x.cluster] += left
			count[kind][x.cluster]++
			auc += left / total[kind] / 2 // both kinds have this mean
		}
		below[0], below[1] = below[0]+equal[0], below[1]+equal[1]
		i = j
	}
	var squares [2]float64
	var product float64
	for c := range prompts {
		d := [2]float64{placed[0][c] - count[0][c]*auc, placed[1][c] - count[1][c]*auc}
		squares[0], squares[1] = squares[0]+d[0]*d[0], squares[1]+d[1]*d[1]
		product += d[0] * d[1]
	}
	clustersWith := func(kind int) (n float64) {
		for _, m := range count[kind] {
			if m > 0 {
				n++
			}
		}
		return n
	}
	variance := 0.0
	for kind, s := range squares {
		n := clustersWith(kind)
		variance += n / math.Max(1, n-1) * s / (total[kind] * total[kind])
	}
	n := float64(prompts)
	variance += 2 * n / math.Max(1, n-1) * product / (total[0] * total[1])
	if !(variance > 1e-15) {
		low, high = wilson(auc, rarer)
		return auc, low, high
	}
	half := z95 * math.Sqrt(variance)
	return auc, math.Max(0, auc-half), math.Min(1, auc+half)
}

func kindOf(x ranked) int {
	if x.desirable {
		return 1
	}
	return 0
}

// labelTable is the results as cells of a table, a line for each of the names.
func labelTable(names []string, results map[string]LabelResult) [][]string {
	cells := [][]string{{"labels", "n", "desirable", "accuracy", "95 % interval", "AUC",
		"95 % interval",
		"Brier", "ECE"}}
	for _, name := range names {
		r := results[name]
		auc, interval := "–", "–" // without responses of both kinds there is none
		if r.Desirable > 0 && r.Undesirable > 0 {
			auc, interval = fmt.Sprintf("%.4f", r.AUC), fmt.Sprintf("[%.4f, %.4f]", r.AUCLow, r.AUCHigh)
		}
		cells = append(cells, []string{oneLine(name), strconv.Itoa(r.Responses),
			strconv.Itoa(r.Desirable), fmt.Sprintf("%.4f", r.Accuracy),
			fmt.Sprintf("[%.4f, %.4f]", r.AccuracyLow, r.AccuracyHigh), auc, interval,
			fmt.Sprintf("%.4f", r.Brier), fmt.Sprintf("%.4f", r.ECE)})
	}
	return cells
}
