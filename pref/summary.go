package pref

import (
	"crypto/sha256"
	"math"
	"slices"
	"strings"
	"unicode"
)

// Lengths describe one kind of text.
type Lengths struct {
	Mean   float64 `json:"mean"`
	Median int     `json:"median"`
	P95    int     `json:"p95"` // 95 % are at most this long
	Max    int     `json:"max"`
}

// A Summary describes a set of groups. Lengths are in the unit of the function given to
// [Summarize].
type Summary struct {
	Groups      int `json:"groups"`
	Prompts     int `json:"prompts"` // distinct ones
	Responses   int `json:"responses"`
	Comparisons int `json:"comparisons"`
	Ties        int `json:"ties"` // pairs judged equal that were kept
	Duplicates  int `json:"duplicates"`
	// Desirable and Undesirable count singly labelled responses.
	Desirable   int `json:"desirable"`
	Undesirable int `json:"undesirable"`
	// Attributes are the ratings of single responses.
	Attributes map[string]Ratings `json:"attributes,omitempty"`
	// Conflicts are pairs of responses to one prompt that are compared in both directions, in one
	// group or in several.
	Conflicts int `json:"conflicts"`

	Prompt        Lengths `json:"prompt_length"`
	Response      Lengths `json:"response_length"`
	Chosen        Lengths `json:"chosen_length"`
	Rejected      Lengths `json:"rejected_length"`
	ChosenLonger  int     `json:"chosen_longer"`
	ChosenShorter int     `json:"chosen_shorter"`
	// ChosenLonger / (ChosenLonger + ChosenShorter), 0 without either
	ChosenLongerRate float64     `json:"chosen_longer_rate"`
	ResponsesPer     map[int]int `json:"responses_per_group"`
	// RowsPerPrompt counts the distinct prompts by their number of groups.
	RowsPerPrompt map[int]int    `json:"groups_per_prompt"`
	Subsets       map[string]int `json:"subsets"` // groups by subset; "" if none is named
	Files         map[string]int `json:"files"`   // groups by file
}

// Ratings describe the ratings of responses by one attribute.
type Ratings struct {
	Responses int     `json:"responses"` // rated ones
	Mean      float64 `json:"mean"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
}

// addRatings takes in the ratings of a group.
func (s *Summary) addRatings(g Group) {
	for attribute, of := range g.Grades {
		for _, x := range of {
			if math.IsNaN(x) {
				continue
			}
			if s.Attributes == nil {
				s.Attributes = map[string]Ratings{}
			}
			r, seen := s.Attributes[attribute]
			if !seen {
				r.Min, r.Max = x, x
			}
			r.Responses++
			r.Mean += (x - r.Mean) / float64(r.Responses)
			r.Min, r.Max = min(r.Min, x), max(r.Max, x)
			s.Attributes[attribute] = r
		}
	}
}

// Summarize measures groups. length returns the length of a text, such as its number of characters
// or tokens.
func Summarize(groups []Group, length func(string) int) Summary {
	s := Summary{Groups: len(groups), ResponsesPer: map[int]int{}, RowsPerPrompt: map[int]int{},
		Subsets: map[string]int{}, Files: map[string]int{}}
	var prompts, responses, chosen, rejected []int
	perPrompt, seen, directions := map[PromptKey]int{}, map[digest]bool{}, map[digest]int{}
	for _, g := range groups {
		key := g.PromptKey()
		perPrompt[key]++
		if d := g.digest(); seen[d] {
			s.Duplicates++
		} else {
			seen[d] = true
		}
		s.ResponsesPer[len(g.Responses)]++
		s.Subsets[g.Subset]++
		s.Files[g.Source.File]++
		s.Responses += len(g.Responses)
		s.Comparisons += len(g.Comparisons)
		s.Ties += len(g.Ties)
		s.addRatings(g)
		for _, good := range g.Labels {
			if good {
				s.Desirable++
			} else {
				s.Undesirable++
			}
		}
		n := 0
		for _, m := range g.Prompt {
			n += length(m.Content)
		}
		prompts = append(prompts, n)
		lengths := make([]int, len(g.Responses))
		for i, r := range g.Responses {
			lengths[i] = length(r)
		}
		responses = append(responses, lengths...)
		for _, c := range g.Comparisons {
			chosen, rejected = append(chosen, lengths[c.Chosen]), append(rejected, lengths[c.Rejected])
			switch {
			case lengths[c.Chosen] > lengths[c.Rejected]:
				s.ChosenLonger++
			case lengths[c.Chosen] < lengths[c.Rejected]:
				s.ChosenShorter++
			}
			a, b, direction := g.Responses[c.Chosen], g.Responses[c.Rejected], 1
			if a > b {
				a, b, direction = b, a, 2
			}
			sum := sha256.Sum256(appendText(appendText(key[:], a), b))
			pair := digest(sum[:16])
			if before := directions[pair]; before|direction == 3 && before != 3 {
				s.Conflicts++
			}
			directions[pair] |= direction
		}
	}
	s.Prompts = len(perPrompt)
	for _, n := range perPrompt {
		s.RowsPerPrompt[n]++
	}
	if n := s.ChosenLonger + s.ChosenShorter; n > 0 {
		s.ChosenLongerRate = float64(s.ChosenLonger) / float64(n)
	}
	s.Prompt, s.Response, s.Chosen, s.Rejected = lengthsOf(prompts), lengthsOf(responses),
		lengthsOf(chosen), lengthsOf(rejected)
	return s
}

func lengthsOf(x []int) Lengths {
	if len(x) == 0 {
		return Lengths{}
	}
	slices.Sort(x)
	sum := 0
	for _, v := range x {
		sum += v
	}
	// The smallest value that so large a share does not exceed.
	at := func(percent int) int { return x[(len(x)*percent+99)/100-1] }
	return Lengths{Mean: float64(sum) / float64(len(x)), Median: at(50), P95: at(95), Max: x[len(x)-1]}
}

// An Overlap counts the common part of two sets. Test prompts that are also in the training set are
// not held out.
type Overlap struct {
	Exact int `json:"exact"` // distinct prompts of b that are in a, letter by letter
	// … with case, spaces and punctuation left out; Exact is part of it
	Normalized int `json:"normalized"`
	Groups     int `json:"groups"` // groups of b whose normalized prompt is in a
	// groups of b that are in a with the same prompt, responses and comparisons
	Pairs int `json:"pairs"`
}

// Overlaps compares two sets of groups.
func Overlaps(a, b []Group) Overlap {
	exact, normalized, whole := map[PromptKey]bool{}, map[string]bool{}, map[digest]bool{}
	for _, g := range a {
		exact[g.PromptKey()], normalized[g.plainPrompt()], whole[g.digest()] = true, true, true
	}
	var o Overlap
	seenExact, seenNormalized := map[PromptKey]bool{}, map[string]bool{}
	for _, g := range b {
		key, plain := g.PromptKey(), g.plainPrompt()
		if exact[key] && !seenExact[key] {
			seenExact[key] = true
			o.Exact++
		}
		if normalized[plain] {
			o.Groups++
			if !seenNormalized[plain] {
				seenNormalized[plain] = true
				o.Normalized++
			}
		}
		if whole[g.digest()] {
			o.Pairs++
		}
	}
	return o
}

// plainPrompt is the prompt's letters and digits in lower case, turns kept apart. A prompt without
// any, such as one in symbols alone, is itself.
func (g Group) plainPrompt() string {
	var b strings.Builder
	for _, m := range g.Prompt {
		plain := strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, m.Content)
		if plain == "" {
			plain = m.Content
		}
		b.WriteString(plain)
		b.WriteByte('\n')
	}
	return b.String()
}
