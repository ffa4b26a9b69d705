package eval

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"gonum.org/v1/gonum/stat"

	"haf/pref"
)

// bootstrap adds the interval of every score; see [RunSuite]. named names what is drawn: groups of
// one name are one cluster, and so are those of one prompt where it is nil or the name is empty.
func (r *SuiteResult) bootstrap(
	score scoring, groups []pref.Group, named func(pref.Group) string,
) {
	strata := strataOf(groups, named)
	rows := r.rows()
	values := make([][]float64, len(rows))
	for i := range values {
		values[i] = make([]float64, draws)
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	weight := make([]float64, len(groups))
	for d := range draws {
		clear(weight)
		for _, clusters := range strata {
			for range clusters {
				for _, g := range clusters[rng.IntN(len(clusters))] {
					weight[g]++
				}
			}
		}
		drawn := score(weight)
		for i, row := range drawn.rows() {
			values[i][d] = row.Score
		}
	}
	for i, row := range rows {
		slices.Sort(values[i])
		if values[i][0] == values[i][draws-1] { // no draw can differ: the draws say nothing
			row.Low, row.High = wilson(max(0, min(row.Score, 1)), float64(row.N))
			// The Ties of RewardBench 2 reach from −0.01 to 1.01.
			row.Low, row.High = min(row.Low, row.Score), max(row.High, row.Score)
			continue
		}
		row.Low = stat.Quantile(0.025, stat.Empirical, values[i], nil)
		row.High = stat.Quantile(0.975, stat.Empirical, values[i], nil)
	}
}

// strataOf puts groups into clusters, and clusters that stand in the same subsets into one stratum,
// in the order in which they are first seen. A cluster lists its groups.
func strataOf(groups []pref.Group, named func(pref.Group) string) [][][]int {
	type key struct {
		name   string
		prompt pref.PromptKey
	}
	var clusters [][]int
	at := map[key]int{}
	for g, group := range groups {
		var k key
		if named != nil {
			k.name = named(group)
		}
		if k.name == "" {
			k.prompt = group.PromptKey()
		}
		i, ok := at[k]
		if !ok {
			i = len(clusters)
			at[k] = i
			clusters = append(clusters, nil)
		}
		clusters[i] = append(clusters[i], g)
	}
	var strata [][][]int
	of := map[string]int{}
	for _, cluster := range clusters {
		subsets := map[string]bool{}
		for _, g := range cluster {
			subsets[groups[g].Subset] = true
		}
		signature := strings.Join(slices.Sorted(maps.Keys(subsets)), "\x00")
		i, ok := of[signature]
		if !ok {
			i = len(strata)
			of[signature] = i
			strata = append(strata, nil)
		}
		strata[i] = append(strata[i], cluster)
	}
	return strata
}
