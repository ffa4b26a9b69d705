package eval

import (
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat"

	"haf/pref"
)

const (
	draws = 2000
	seed  = 0x6861662f6576616c // any; fixed, so that one set of rewards has one interval
	z95   = 1.959963984540054  // the standard normal's quantile at 0.975
)

// clusters hold, for each distinct prompt in the order in which it is first seen, the number of its
// comparisons and the sum of some value over them.
type clusters struct {
	of    []int // group → cluster
	count []float64
	sum   []float64
}

// newClusters puts groups that share a prompt into one cluster. Clusters without a comparison carry
// nothing and are left out.
func newClusters(groups []pref.Group) *clusters {
	return clustersOf(groups, func(g pref.Group) bool { return len(g.Comparisons) > 0 })
}

// clustersOf does the same for groups that carry something else.
func clustersOf(groups []pref.Group, carries func(pref.Group) bool) *clusters {
	c := &clusters{of: make([]int, len(groups))}
	seen := map[pref.PromptKey]int{}
	for g, group := range groups {
		if !carries(group) {
			c.of[g] = -1
			continue
		}
		key := group.PromptKey()
		i, ok := seen[key]
		if !ok {
			i = len(c.count)
			seen[key] = i
			c.count, c.sum = append(c.count, 0), append(c.sum, 0)
		}
		c.of[g] = i
	}
	return c
}

func (c *clusters) len() int { return len(c.count) }

func (c *clusters) add(group int, value float64) {
	c.count[c.of[group]]++
	c.sum[c.of[group]] += value
}

func (c *clusters) mean() float64 {
	var n, s float64
	for i := range c.count {
		n, s = n+c.count[i], s+c.sum[i]
	}
	return s / n
}

// clusteredError is the standard error of the mean p = Σ_g s_g / Σ_g n_g over clusters g, 0 for one
// cluster: √(G/(G−1) · Σ_g (s_g − p·n_g)²) / Σ_g n_g, the cluster-robust variance of Liang and
// Zeger 1986, with the small-sample factor of Cameron and Miller 2015; see also Miller 2024 (arXiv
// 2411.00640). With one comparison a cluster it is s/√n.
func (c *clusters) clusteredError() float64 {
	if c.len() < 2 {
		return 0
	}
	p, n, squares := c.mean(), 0.0, 0.0
	for i := range c.count {
		d := c.sum[i] - p*c.count[i]
		n, squares = n+c.count[i], squares+d*d
	}
	g := float64(c.len())
	return math.Sqrt(g/(g-1)*squares) / n
}

// bootstrap returns the percentile interval, 2.5 % to 97.5 %, of the mean over 2000 draws of as
// many clusters as there are, with replacement (Efron 1979; the cluster bootstrap of Field and
// Welsh 2007). flat says that all clusters have the same mean, so that no draw can differ and the
// interval says nothing.
func (c *clusters) bootstrap() (low, high float64, flat bool) {
	flat = true
	for i := range c.count {
		flat = flat && c.sum[i]*c.count[0] == c.sum[0]*c.count[i]
	}
	if flat {
		return c.mean(), c.mean(), true
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	means := make([]float64, draws)
	for d := range means {
		var n, s float64
		for range c.count {
			i := rng.IntN(len(c.count))
			n, s = n+c.count[i], s+c.sum[i]
		}
		means[d] = s / n
	}
	slices.Sort(means)
	return stat.Quantile(0.025, stat.Empirical, means, nil),
		stat.Quantile(0.975, stat.Empirical, means, nil), false
}

// wilson is the score interval, 95 %, of a proportion p seen in n independent trials (Wilson 1927).
// It is what remains to be said where all prompts agree: from n out of n right does not follow that
// none is ever wrong.
func wilson(p, n float64) (low, high float64) {
	const z = z95
	middle := (p + z*z/(2*n)) / (1 + z*z/n)
	half := z / (1 + z*z/n) * math.Sqrt(p*(1-p)/n+z*z/(4*n*n))
	return max(0, middle-half), min(1, middle+half)
}
