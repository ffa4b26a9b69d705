package paper

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"haf/eval"
	"haf/pref"
	"haf/reward"
)

// A TestSet has the properties of a test set that results need: its comparisons, by position.
type TestSet struct {
	Name string `json:"name"`
	// the prompt of each comparison; comparisons of one prompt are not independent
	Prompts []int `json:"prompts"`
	// lengths of the two responses in characters
	Chosen   []int `json:"chosen"`
	Rejected []int `json:"rejected"`
}

func newTestSet(name string, groups []pref.Group) TestSet {
	t := TestSet{Name: name}
	at := map[pref.PromptKey]int{}
	for _, g := range groups {
		prompt, ok := at[g.PromptKey()]
		if !ok {
			prompt = len(at)
			at[g.PromptKey()] = prompt
		}
		for _, c := range g.Comparisons {
			t.Prompts = append(t.Prompts, prompt)
			t.Chosen = append(t.Chosen, utf8.RuneCountInString(g.Responses[c.Chosen]))
			t.Rejected = append(t.Rejected, utf8.RuneCountInString(g.Responses[c.Rejected]))
		}
	}
	return t
}

func (t TestSet) check() error {
	if n := len(t.Prompts); n == 0 || len(t.Chosen) != n || len(t.Rejected) != n {
		return fmt.Errorf("test set %q has %d prompts, %d chosen and %d rejected lengths: want as many "+
			"of each", t.Name, n, len(t.Chosen), len(t.Rejected))
	}
	for i := range t.Prompts {
		if min(t.Chosen[i], t.Rejected[i]) < 0 || max(t.Chosen[i], t.Rejected[i]) > 1<<24 {
			return fmt.Errorf("test set %q has a response of %d characters", t.Name,
				min(t.Chosen[i], t.Rejected[i]))
		}
	}
	return nil
}

// groups returns a group for each comparison, with the real prompt identities and response lengths.
func (t TestSet) groups() []pref.Group {
	out := make([]pref.Group, len(t.Prompts))
	for i, prompt := range t.Prompts {
		text := []pref.Message{{Role: pref.User, Content: strconv.Itoa(prompt)}}
		out[i] = pref.NewPair(text, strings.Repeat("x", t.Chosen[i]), strings.Repeat("x",
			t.Rejected[i]), pref.Location{})
	}
	return out
}

// Margins are a reward's margins on the comparisons of a test set, rounded to few bits. The sign of
// each margin is exact, and only ties are 0.
type Margins struct {
	Bits  int     `json:"bits"`  // 8: levels from −127 to 127; 2: −1, 0 and 1
	Scale float64 `json:"scale"` // margin of the largest level
	// base64 of the levels, the lowest bits first; the lowest level means not read
	Data string `json:"data"`
	// Correlation is Spearman's correlation of reward and length within prompts.
	Correlation float64 `json:"length_correlation"`
}

// bitsOf returns the bits for a reward's margins. The heads' own rewards get more, because
// ensembles sum them.
func bitsOf(rewardName string) int {
	if rewardName == reward.ByScore || rewardName == reward.ByImplicit {
		return 8
	}
	return 2
}

// newMargins returns the margins of a reading on the groups of a test set.
func newMargins(
	groups []pref.Group, index []int, rewards [][]float64, bits int,
) (Margins, error) {
	bias, err := eval.Lengths(pick(groups, index), rewards)
	if err != nil {
		return Margins{}, err
	}
	m := Margins{Bits: bits, Correlation: bias.Spearman}
	var all []float64
	for g, group := range groups {
		at, read := slices.BinarySearch(index, g)
		for _, c := range group.Comparisons {
			margin := math.NaN()
			if read {
				margin = rewards[at][c.Chosen] - rewards[at][c.Rejected]
				m.Scale = max(m.Scale, math.Abs(margin))
			}
			all = append(all, margin)
		}
	}
	bytes := make([]byte, (len(all)*bits+7)/8)
	for i, margin := range all {
		level := byte(m.level(margin)) & (1<<bits - 1)
		bytes[i*bits/8] |= level << (i * bits % 8)
	}
	m.Data = base64.StdEncoding.EncodeToString(bytes)
	return m, nil
}

// highest is the highest level. One below its negative stands for a comparison that was not read.
func (m Margins) highest() int { return 1<<(m.Bits-1) - 1 }

// level is a margin in units of the lowest level, rounded away from 0.
func (m Margins) level(margin float64) int {
	if margin != margin {
		return -m.highest() - 1
	}
	if margin == 0 || m.Scale == 0 {
		return 0
	}
	highest := float64(m.highest())
	return int(math.Copysign(min(highest, math.Ceil(math.Abs(margin)/m.Scale*highest)), margin))
}

// reading returns the margins as a reading of the test set's stand-in groups.
func (m Margins) reading(t TestSet) (index []int, rewards [][]float64, err error) {
	bytes, err := base64.StdEncoding.DecodeString(m.Data)
	if m.Bits != 2 && m.Bits != 8 {
		err = fmt.Errorf("bits is %d, want 2 or 8", m.Bits)
	} else if err == nil && len(bytes) != (len(t.Prompts)*m.Bits+7)/8 {
		err = errors.New("not as many margins as comparisons")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("margins on %s: %w", t.Name, err)
	}
	for i := range t.Prompts {
		level := int(bytes[i*m.Bits/8]>>(i*m.Bits%8)) & (1<<m.Bits - 1)
		if level > m.highest() {
			level -= 1 << m.Bits
		}
		if level >= -m.highest() {
			index = append(index, i)
			rewards = append(rewards,
				[]float64{float64(level) * m.Scale / float64(m.highest()), 0})
		}
	}
	return index, rewards, nil
}
