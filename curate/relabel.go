package curate

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"haf/eval"
	"haf/pref"
)

// A Labelled row is a preference with the origin of its label. Readers of preferences read it as a
// pair.
type Labelled struct {
	Prompt   []pref.Message `json:"prompt"`
	Chosen   string         `json:"chosen"`
	Rejected string         `json:"rejected"`
	// Margin is the labeller's reward of chosen minus that of rejected; for a kept label, the data's
	// margin. It is nil if there is none: the judge only ranks, or the data states no margin.
	Margin     *float64   `json:"margin,omitempty"`
	Subset     string     `json:"subset,omitempty"` // of the group
	ID         string     `json:"id,omitempty"`     // of the group; the rows of one group share it
	Provenance Provenance `json:"provenance"`
}

// Provenance is the origin of a label.
type Provenance struct {
	By     string `json:"by"`     // the labeller, "" for the data itself
	How    string `json:"how"`    // one of the constants below
	Source string `json:"source"` // file and line
	// Scores are the labeller's rewards of chosen and rejected.
	Scores []float64 `json:"scores,omitempty"`
	// Distance and PACS measure the conflict that selected the pair: see [eval.PACS].
	Distance float64 `json:"distance,omitempty"`
	PACS     float64 `json:"pacs,omitempty"`
}

// Origins of a label.
const (
	Agreed  = "agreed"  // the labeller agrees with the data
	Flipped = "flipped" // the labeller disagrees
	Built   = "built"   // a pair of the best and the worst response
	Newly   = "judged"  // a pair without a label in the data
	Kept    = "kept"    // the data's label, not judged
	Rated   = "scored"  // the rewards of all responses
)

// Counts of a relabelling.
type Counts struct {
	Read    int `json:"read"` // comparisons, or groups to build pairs of
	Agreed  int `json:"agreed"`
	Flipped int `json:"flipped"`
	Built   int `json:"built"`
	Judged  int `json:"judged"`
	Kept    int `json:"kept"`
	Scored  int `json:"scored,omitempty"` // groups
	// left out: the margin is below the threshold, or the judge named no winner
	Weak      int `json:"weak"`
	Repeated  int `json:"repeated"`  // left out: an earlier row has the pair
	Identical int `json:"identical"` // left out: both responses are equal
}

func (c Counts) String() string {
	if c.Scored > 0 {
		return fmt.Sprintf("%d groups read, %d scored; left out: %d of equal rewards", c.Read, c.Scored,
			c.Weak)
	}
	return fmt.Sprintf("%d read: %d labels agreed, %d flipped, %d pairs built, %d judged, %d kept; "+
		"left out: %d weak, %d repeated, %d identical",
		c.Read, c.Agreed, c.Flipped, c.Built, c.Judged, c.Kept, c.Weak, c.Repeated, c.Identical)
}

// key identifies the pair of a row.
func (l Labelled) key() (string, error) { return Hash([]any{l.Prompt, l.Chosen, l.Rejected}) }

// writer collects rows without duplicates.
type writer struct {
	rows   []Labelled
	counts Counts
	seen   map[string]bool
}

func (w *writer) add(row Labelled) error {
	if row.Chosen == row.Rejected {
		w.counts.Identical++
		return nil
	}
	key, err := row.key()
	if err != nil {
		return err
	}
	if w.seen[key] {
		w.counts.Repeated++
		return nil
	}
	if w.seen == nil {
		w.seen = map[string]bool{}
	}
	w.seen[key] = true
	switch row.Provenance.How {
	case Agreed:
		w.counts.Agreed++
	case Flipped:
		w.counts.Flipped++
	case Built:
		w.counts.Built++
	case Newly:
		w.counts.Judged++
	case Kept:
		w.counts.Kept++
	}
	w.rows = append(w.rows, row)
	return nil
}

// ByRewards labels every comparison of the groups by rewards[g][k]: the response with the larger
// reward is chosen. It leaves out pairs whose rewards are equal or differ by less than threshold.
func ByRewards(
	groups []pref.Group, rewards [][]float64, by string, threshold float64,
) ([]Labelled, Counts, error) {
	w := &writer{}
	for g, group := range groups {
		for _, c := range group.Comparisons {
			w.counts.Read++
			a, b, how := c.Chosen, c.Rejected, Agreed
			if rewards[g][a] < rewards[g][b] {
				a, b, how = b, a, Flipped
			}
			if err := w.pair(group, rewards[g], a, b, by, how, threshold); err != nil {
				return nil, w.counts, err
			}
		}
	}
	return w.rows, w.counts, nil
}

// BestWorst makes a pair of the best and the worst response of each group by rewards[g][k]; of
// equal ones it takes the first as best and the last as worst. It leaves out pairs whose rewards
// are equal or differ by less than threshold.
func BestWorst(
	groups []pref.Group, rewards [][]float64, by string, threshold float64,
) ([]Labelled, Counts, error) {
	w := &writer{}
	for g, group := range groups {
		w.counts.Read++
		best, worst := 0, 0
		for k, r := range rewards[g] {
			if r > rewards[g][best] {
				best = k
			}
			if r <= rewards[g][worst] {
				worst = k
			}
		}
		if err := w.pair(group, rewards[g], best, worst, by, Built, threshold); err != nil {
			return nil, w.counts, err
		}
	}
	return w.rows, w.counts, nil
}

// A Scored row is a group with rewards of its responses instead of comparisons. Readers of
// preferences read it as a group of scores.
type Scored struct {
	Prompt     []pref.Message `json:"prompt"`
	Responses  []string       `json:"responses"`
	Scores     []float64      `json:"scores"`
	Subset     string         `json:"subset,omitempty"`
	ID         string         `json:"id,omitempty"`
	Provenance Provenance     `json:"provenance"`
}

// ByScores gives every group its rewards[g][k]. It leaves out groups whose rewards are all equal,
// because they compare nothing.
func ByScores(groups []pref.Group, rewards [][]float64, by string) ([]Scored, Counts) {
	var rows []Scored
	var counts Counts
	for g, group := range groups {
		counts.Read++
		if len(rewards[g]) == 0 || slices.Min(rewards[g]) == slices.Max(rewards[g]) {
			counts.Weak++
			continue
		}
		counts.Scored++
		rows = append(rows, Scored{group.Prompt, group.Responses, rewards[g], group.Subset, group.ID,
			Provenance{By: by, How: Rated, Source: group.Source.String()}})
	}
	return rows, counts
}

func (w *writer) pair(
	g pref.Group, rewards []float64, chosen, rejected int, by, how string, threshold float64,
) error {
	margin := rewards[chosen] - rewards[rejected]
	if margin < threshold || margin == 0 {
		w.counts.Weak++
		return nil
	}
	row := labelled(g, chosen, rejected, Provenance{By: by, How: how})
	row.rate(rewards[chosen], rewards[rejected])
	return w.add(row)
}

// labelled returns the row of two responses of a group, without a margin.
func labelled(g pref.Group, chosen, rejected int, from Provenance) Labelled {
	from.Source = g.Source.String()
	return Labelled{
		Prompt: g.Prompt, Chosen: g.Responses[chosen], Rejected: g.Responses[rejected],
		Subset: g.Subset, ID: g.ID, Provenance: from,
	}
}

// rate sets a row's rewards and margin from the labeller's rewards of chosen and rejected.
func (r *Labelled) rate(chosen, rejected float64) {
	margin := chosen - rejected
	r.Margin, r.Provenance.Scores = &margin, []float64{chosen, rejected}
}

// keptRow returns the row of a comparison with the data's label and, if stated, the data's margin:
// that of the comparison, else the difference of the scores.
func keptRow(g pref.Group, c pref.Comparison, from Provenance) Labelled {
	from.By, from.How = "", Kept
	row := labelled(g, c.Chosen, c.Rejected, from)
	margin := c.Margin
	if !c.Stated() && g.Scores != nil {
		margin = g.Scores[c.Chosen] - g.Scores[c.Rejected]
	}
	if c.Stated() || g.Scores != nil {
		row.Margin = &margin
	}
	return row
}

// A Pick is a pair of responses of a group for labelling.
type Pick struct {
	Group    int
	A, B     int
	Distance float64 // Kendall distance between the two heads' rankings of the group
	PACS     float64 // |PACS_A − PACS_B|
	labelled bool    // A is chosen in the data
}

// Strategies of selecting pairs for a judge.
const (
	// SHF-CAS: prompts with large distance first, and their pairs with large PACS (arXiv 2512.09212)
	ByConflict = "conflict"
	ByChance   = "random"
	ByMargin   = "margin" // smallest margins of the score head
)

// Select picks at most budget pairs for a labeller: the comparisons of each group or, without any,
// the two responses with the largest and the smallest PACS. score and policy are the two heads'
// rewards.
func Select(
	groups []pref.Group, score, policy [][]float64, how string, budget int, seed uint64,
) ([]Pick, error) {
	var picks []Pick
	margin := func(p Pick) float64 { return math.Abs(score[p.Group][p.A] - score[p.Group][p.B]) }
	for g, group := range groups {
		if len(group.Responses) < 2 {
			continue
		}
		pacs, distance := eval.PACS(score[g], policy[g]), eval.KendallDistance(score[g], policy[g])
		add := func(a, b int, labelled bool) {
			if group.Responses[a] != group.Responses[b] {
				picks = append(picks, Pick{g, a, b, distance, math.Abs(pacs[a] - pacs[b]), labelled})
			}
		}
		for _, c := range group.Comparisons {
			add(c.Chosen, c.Rejected, true)
		}
		if len(group.Comparisons) == 0 {
			most, least := 0, 0
			for k, p := range pacs {
				if p > pacs[most] {
					most = k
				}
				if p <= pacs[least] {
					least = k
				}
			}
			add(most, least, false)
		}
	}
	// Chance decides between equals, in the same way at every run.
	random := rand.New(rand.NewPCG(seed, 0x73656c656374))
	random.Shuffle(len(picks), func(i, j int) { picks[i], picks[j] = picks[j], picks[i] })
	switch how {
	case ByConflict:
		slices.SortStableFunc(picks, func(a, b Pick) int {
			return cmp.Or(cmp.Compare(b.Distance, a.Distance), cmp.Compare(b.PACS, a.PACS))
		})
	case ByMargin:
		slices.SortStableFunc(picks, func(a, b Pick) int { return cmp.Compare(margin(a), margin(b)) })
	case ByChance:
	default:
		return nil, fmt.Errorf("curate: selection %q, want %s, %s or %s", how, ByConflict, ByChance,
			ByMargin)
	}
	return picks[:min(budget, len(picks))], nil
}

// Trials returns the picks in the form that a judge reads.
func Trials(groups []pref.Group, picks []Pick) []pref.Trial {
	trials := make([]pref.Trial, len(picks))
	for i, p := range picks {
		g := groups[p.Group]
		trials[i] = pref.Trial{Prompt: g.Prompt, Responses: []string{g.Responses[p.A], g.Responses[p.B]}}
	}
	return trials
}

// ByVerdicts labels the judged picks and keeps the labels of all other comparisons. A pick on which
// the two orders disagree keeps its label, if it has one.
func ByVerdicts(
	groups []pref.Group, picks []Pick, judged []Judged, by string,
) ([]Labelled, Counts, error) {
	w := &writer{}
	asked := map[[3]int]int{}
	for i, p := range picks {
		asked[[3]int{p.Group, p.A, p.B}] = i
	}
	for g, group := range groups {
		for _, c := range group.Comparisons {
			w.counts.Read++
			row := keptRow(group, c, Provenance{})
			if i, ok := asked[[3]int{g, c.Chosen, c.Rejected}]; ok {
				if judgedRow, ok := judged[i].row(group, picks[i], by); ok {
					row = judgedRow
				} else {
					row = keptRow(group, c, picks[i].from())
				}
			}
			if err := w.add(row); err != nil {
				return nil, w.counts, err
			}
		}
	}
	for i, p := range picks {
		if p.labelled {
			continue
		}
		w.counts.Read++
		row, ok := judged[i].row(groups[p.Group], p, by)
		if !ok {
			w.counts.Weak++
			continue
		}
		if err := w.add(row); err != nil {
			return nil, w.counts, err
		}
	}
	return w.rows, w.counts, nil
}

// from returns the provenance of a pick, before it is judged.
func (p Pick) from() Provenance { return Provenance{Distance: p.Distance, PACS: p.PACS} }

// row returns the row of a judged pick. It reports whether the verdicts agree.
func (j Judged) row(g pref.Group, p Pick, by string) (Labelled, bool) {
	from := p.from()
	from.By, from.How = by, Newly
	better := j.agreed()
	if better == 0 {
		return Labelled{}, false
	}
	chosen, rejected := 0, 1 // indices in the trial
	if better > 0 {
		chosen, rejected = 1, 0
	}
	switch {
	case p.labelled && better > 0:
		from.How = Flipped
	case p.labelled:
		from.How = Agreed
	}
	of := [2]int{p.A, p.B}
	row := labelled(g, of[chosen], of[rejected], from)
	if rewards := j.rewards(); rewards != nil {
		row.rate(rewards[chosen], rewards[rejected])
	}
	return row, true
}

// GoldGroups gives each group one best response, by the largest gold reward, for [eval.TopK]. A
// group with a tie for the best has no comparison.
func GoldGroups(groups []pref.Group, gold [][]float64) []pref.Group {
	out := slices.Clone(groups)
	for i := range out {
		best := slices.Index(gold[i], slices.Max(gold[i]))
		out[i].Comparisons, out[i].Ties = nil, nil
		for k, r := range gold[i] {
			if r < gold[i][best] {
				out[i].Comparisons = append(out[i].Comparisons, pref.Comparison{Chosen: best, Rejected: k})
			}
		}
	}
	return out
}
