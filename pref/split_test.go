package pref

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// groupsOf makes copies groups of each of n prompts.
func groupsOf(n, copies int) []Group {
	var groups []Group
	for i := range n * copies {
		groups = append(groups, NewPair(user(fmt.Sprint("prompt ", i%n)), fmt.Sprint("good ", i), "bad",
			Location{"f", i + 1}))
	}
	return groups
}

func promptsOf(groups []Group) map[PromptKey]bool {
	keys := map[PromptKey]bool{}
	for _, g := range groups {
		keys[g.PromptKey()] = true
	}
	return keys
}

func TestSplitByPrompt(t *testing.T) {
	groups := groupsOf(50, 3)
	rest, held := SplitByPrompt(groups, 0.2, 7)
	if len(rest) != 120 || len(held) != 30 || len(promptsOf(held)) != 10 {
		t.Fatalf("%d and %d groups", len(rest), len(held))
	}
	for key := range promptsOf(held) {
		if promptsOf(rest)[key] {
			t.Fatal("a prompt is on both sides")
		}
	}
	for _, side := range [][]Group{rest, held} {
		if !slices.IsSortedFunc(side, func(a, b Group) int { return a.Source.Line - b.Source.Line }) {
			t.Error("the order is not kept")
		}
	}
	// The same prompts whatever the order; other ones for another seed.
	shuffled := slices.Clone(groups)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(shuffled),
		func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if _, other := SplitByPrompt(shuffled, 0.2, 7); !reflect.DeepEqual(promptsOf(other),
		promptsOf(held)) {
		t.Error("the split depends on the order")
	}
	if _, other := SplitByPrompt(groups, 0.2, 8); reflect.DeepEqual(promptsOf(other),
		promptsOf(held)) {
		t.Error("the split does not depend on the seed")
	}
	// A larger fraction holds all that a smaller one does.
	_, more := SplitByPrompt(groups, 0.5, 7)
	for key := range promptsOf(held) {
		if !promptsOf(more)[key] {
			t.Fatal("a larger fraction holds other prompts")
		}
	}
}

func TestSplitSizes(t *testing.T) {
	for _, c := range []struct {
		prompts      int
		fraction     float64
		restN, heldN int
	}{
		{2, 0.001, 1, 1}, {2, 0.999, 1, 1}, {10, 0.01, 9, 1}, {10, 0.99, 1, 9}, {1, 0.5, 1, 0},
		{0, 0.5, 0, 0},
		{10, 0, 10, 0}, {10, -1, 10, 0}, {10, 1, 0, 10}, {10, 2, 0, 10}, {10, math.NaN(), 10, 0},
		{10, math.Inf(1), 0, 10},
	} {
		rest, held := SplitByPrompt(groupsOf(c.prompts, 1), c.fraction, 1)
		if len(rest) != c.restN || len(held) != c.heldN {
			t.Errorf("%d prompts, fraction %v: %d and %d, want %d and %d", c.prompts, c.fraction,
				len(rest), len(held), c.restN, c.heldN)
		}
	}
}

func TestFraction(t *testing.T) {
	lines := pairRows(40)
	path := file(t, "a.jsonl", []byte(strings.Join(slices.Concat(lines, lines), "\n")))
	groups, counts, err := Load([]string{path}, Options{Fraction: 0.25, Seed: 3})
	if err != nil || len(groups) != 20 || len(promptsOf(groups)) != 10 {
		t.Fatalf("%d groups, %v", len(groups), err)
	}
	if counts.Read != 80 || counts.Kept != 20 || counts.Comparisons != 20 || counts.Duplicates != 10 ||
		counts.Dropped[DropFraction] != 60 {
		t.Error(counts)
	}
	again, _, err := Load([]string{path}, Options{Fraction: 0.25, Seed: 3})
	if err != nil || !reflect.DeepEqual(groups, again) {
		t.Error("one seed, two draws")
	}
	other, _, err := Load([]string{path}, Options{Fraction: 0.25, Seed: 4})
	if err != nil || reflect.DeepEqual(promptsOf(groups), promptsOf(other)) {
		t.Error("two seeds, one draw")
	}
	if few, _, err := Load([]string{path}, Options{Fraction: 1e-9}); err != nil ||
		len(promptsOf(few)) != 1 {
		t.Errorf("%d groups, %v, want one prompt", len(few), err)
	}
	if all, _, err := Load([]string{path}, Options{Fraction: 1, Limit: 50}); err != nil ||
		len(all) != 50 {
		t.Errorf("%d groups, %v, want 50", len(all), err)
	}
	// The draw of a fraction and that of a split are independent: of one seed, neither is the other's
	// half.
	all, _, err := Load([]string{path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, held := SplitByPrompt(all, 0.25, 3)
	if reflect.DeepEqual(promptsOf(held), promptsOf(groups)) {
		t.Error("split and fraction draw the same prompts")
	}
}

// The bytes behind a key keep apart what only looks alike when strung together.
func TestPromptKey(t *testing.T) {
	prompts := [][]Message{
		nil, {{Role: User, Content: ""}}, {{Role: User, Content: "ab"}},
		{{Role: User, Content: "a"}, {Role: User, Content: "b"}}, {{Role: Assistant, Content: "ab"}},
		{{Role: System, Content: "a"}, {Role: User, Content: "b"}},
		{{Role: User, Content: "a" + "user" + "b"}},
	}
	seen := map[PromptKey]bool{}
	for _, p := range prompts {
		seen[Group{Prompt: p}.PromptKey()] = true
	}
	if len(seen) != len(prompts) {
		t.Errorf("%d keys of %d prompts", len(seen), len(prompts))
	}
}
