package ui

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"haf/eval"
	"haf/internal/wholefile"
)

// A pairSet is a file of pairs with their rewards, as written by haf eval -out.
type pairSet struct {
	Pairs   []pair
	Rewards []string // names, in order
	Sources []string // files and subsets of the pairs
	long    int      // length in characters of the longest tenth of pairs
	close   map[string]float64
	size    int64
	changed time.Time
}

// A pair is a comparison with fields for search and filters.
type pair struct {
	eval.Example
	text   string // in lower case
	length int    // characters of both responses
}

// Limits for a file of pairs.
const (
	maxPairs    = 500_000
	maxPairLine = 16 << 20
	shareApart  = 0.1 // share of pairs that count as close, and as long
)

// pairs reads a file of pairs. The latest files stay in memory.
func (a *App) pairs(path string) (*pairSet, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("ui: pairs: %w", err)
	}
	a.reading.Lock()
	defer a.reading.Unlock()
	if known := a.sets[path]; known != nil && known.size == info.Size() &&
		known.changed.Equal(info.ModTime()) {
		return known, nil
	}
	f, err := wholefile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("ui: pairs: %w", err)
	}
	defer f.Close()
	set, err := readPairs(f)
	if err != nil {
		return nil, fmt.Errorf("ui: %s: %w", path, err)
	}
	set.size, set.changed = info.Size(), info.ModTime()
	if len(a.sets) >= mostSets {
		clear(a.sets)
	}
	a.sets[path] = set
	return set, nil
}

// mostSets is the number of files of pairs that stay in memory.
const mostSets = 8

func readPairs(r io.Reader) (*pairSet, error) {
	set := &pairSet{}
	lines := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		line, err := readLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		var e eval.Example
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("line %d: %w: want what haf eval -out writes", n, err)
		}
		if len(e.Rewards) == 0 {
			return nil, fmt.Errorf("line %d: no rewards: want what haf eval -out writes", n)
		}
		if len(set.Pairs) == maxPairs {
			return nil, fmt.Errorf("line %d: more than %d pairs: write fewer with haf eval -limit", n,
				maxPairs)
		}
		set.Pairs = append(set.Pairs, newPair(e))
	}
	if len(set.Pairs) == 0 {
		return nil, errors.New("no pair: want what haf eval -out writes")
	}
	set.summarize()
	return set, nil
}

// readLine reads a line of limited length.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxPairLine:
			return nil, fmt.Errorf("more than %d bytes, want a pair", maxPairLine)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return line, nil
		}
		return line, err
	}
}

func newPair(e eval.Example) pair {
	var b strings.Builder
	for _, m := range e.Prompt {
		b.WriteString(m.Content)
		b.WriteByte('\n')
	}
	b.WriteString(e.Chosen)
	b.WriteByte('\n')
	b.WriteString(e.Rejected)
	return pair{Example: e, text: strings.ToLower(b.String()),
		length: utf8.RuneCountInString(e.Chosen) + utf8.RuneCountInString(e.Rejected)}
}

// summarize sets the names, and the bounds of long and of close pairs.
func (s *pairSet) summarize() {
	names, sources := map[string]bool{}, map[string]bool{}
	lengths := make([]int, len(s.Pairs))
	for i, p := range s.Pairs {
		for name := range p.Rewards {
			names[name] = true
		}
		for _, source := range p.sources() {
			sources[source] = true
		}
		lengths[i] = p.length
	}
	usual := []string{"score", "implicit", "implicit-normalized", "combined"}
	for _, name := range usual {
		if names[name] {
			s.Rewards = append(s.Rewards, name)
			delete(names, name)
		}
	}
	s.Rewards = append(s.Rewards, sortedKeys(names)...)
	s.Sources = sortedKeys(sources)
	slices.Sort(lengths)
	s.long = lengths[int(float64(len(lengths)-1)*(1-shareApart))]
	s.close = map[string]float64{}
	for _, name := range s.Rewards {
		var sizes []float64
		for _, p := range s.Pairs {
			if r, ok := p.Rewards[name]; ok {
				sizes = append(sizes, math.Abs(r.Margin))
			}
		}
		slices.Sort(sizes)
		s.close[name] = sizes[int(float64(len(sizes)-1)*shareApart)]
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// sources returns the names by which a pair is found: its file and its subset.
func (p pair) sources() (names []string) {
	if p.Source.File != "" {
		names = append(names, filepath.Base(p.Source.File))
	}
	if p.Subset != "" {
		names = append(names, p.Subset)
	}
	return names
}

// disagree reports whether the heads order the pair differently.
func (p pair) disagree() bool {
	score, a := p.Rewards["score"]
	implicit, b := p.Rewards["implicit"]
	return a && b && (score.Margin > 0) != (implicit.Margin > 0)
}

// A query selects pairs.
type query struct {
	Text   string // words that must all occur in prompt or responses
	Reward string // decides which pairs are wrong or close, and the order
	Source string
	Wrong, Close, Long, Disagree,
	Tied bool
	Sort string // margin, size, length, or the file's order
}

// choose returns the indices of the selected pairs, sorted as the query says.
func (s *pairSet) choose(q query) []int {
	words := strings.Fields(strings.ToLower(q.Text))
	out := []int{}
	for i := range s.Pairs {
		if s.Pairs[i].fits(q, words, s) {
			out = append(out, i)
		}
	}
	margin := func(i int) float64 { return s.Pairs[i].Rewards[q.Reward].Margin }
	switch q.Sort {
	case "margin":
		slices.SortStableFunc(out, func(a, b int) int { return cmp.Compare(margin(a), margin(b)) })
	case "size":
		slices.SortStableFunc(out, func(a, b int) int {
			return cmp.Compare(math.Abs(margin(a)), math.Abs(margin(b)))
		})
	case "length":
		slices.SortStableFunc(out, func(a, b int) int {
			return cmp.Compare(s.Pairs[b].length, s.Pairs[a].length)
		})
	}
	return out
}

func (p *pair) fits(q query, words []string, s *pairSet) bool {
	r, ok := p.Rewards[q.Reward]
	switch {
	case q.Wrong && (!ok || p.Tied || r.Margin > 0),
		q.Close && (!ok || math.Abs(r.Margin) > s.close[q.Reward]),
		q.Long && p.length < s.long,
		q.Disagree && !p.disagree(),
		q.Tied && !p.Tied,
		q.Source != "" && !slices.Contains(p.sources(), q.Source):
		return false
	}
	for _, w := range words {
		if !strings.Contains(p.text, w) {
			return false
		}
	}
	return true
}
