package eval

import "haf/pref"

// A Recall measures how often the given best response of a prompt is among the k of highest reward.
type Recall struct {
	Groups int       `json:"groups"` // that have a best response; see Best
	At     []float64 `json:"at"`     // At[k−1] is the recall at k
	Random []float64 `json:"random"` // recall of a random reward: the mean of min(1, k/K)
}

// Best returns the response that the comparisons of the group rank above all others: it is never
// rejected, and chosen over every other response. ok is false if there is none.
func Best(g pref.Group) (best int, ok bool) {
	beaten := make(map[[2]int]bool, len(g.Comparisons))
	lost := make([]bool, len(g.Responses))
	for _, c := range g.Comparisons {
		beaten[[2]int{c.Chosen, c.Rejected}] = true
		lost[c.Rejected] = true
	}
	for i := range g.Responses {
		if lost[i] {
			continue
		}
		all := len(g.Responses) > 1
		for j := range g.Responses {
			all = all && (i == j || beaten[[2]int{i, j}])
		}
		if all {
			return i, true
		}
	}
	return 0, false
}

// TopK measures the recall of the best response at 1 to most. Equal rewards have a random order. So
// a best response that ties at the edge counts with its probability of being among the k: with h
// responses higher and t others equal it is min(1, max(0, (k − h)/(t + 1))). Groups without a best
// response are left out.
func TopK(groups []pref.Group, rewards [][]float64, most int) (Recall, error) {
	if err := check(groups, rewards); err != nil {
		return Recall{}, err
	}
	r := Recall{At: make([]float64, most), Random: make([]float64, most)}
	for g, group := range groups {
		best, ok := Best(group)
		if !ok {
			continue
		}
		r.Groups++
		higher, equal := 0, -1 // itself
		for _, x := range rewards[g] {
			switch {
			case x > rewards[g][best]:
				higher++
			case x == rewards[g][best]:
				equal++
			}
		}
		for k := 1; k <= most; k++ {
			r.At[k-1] += min(1, max(0, float64(k-higher)/float64(equal+1)))
			r.Random[k-1] += min(1, float64(k)/float64(len(group.Responses)))
		}
	}
	for k := range r.At {
		r.At[k], r.Random[k] = ratio(r.At[k], r.Groups), ratio(r.Random[k], r.Groups)
	}
	return r, nil
}
