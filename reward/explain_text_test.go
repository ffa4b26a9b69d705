package reward_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"haf/pref"
	"haf/reward"
)

func hostile() []reward.Explained {
	return []reward.Explained{{
		Model:  "runs/\x1b[31mred",
		Sample: pref.Sample{Response: "good"},
		Explanation: reward.Explanation{
			Rewards: map[string]float64{reward.ByScore: 1, reward.ByImplicit: 0.25}, Beta: 0.1,
			Tokens: []reward.TokenPart{
				{Text: "go\x1b]0;title\x07od", Reward: 0.5}, {Text: " \u202eevil\n", Reward: -0.3},
				{Text: " plain", Reward: 0.01}, {Text: " 日本語", Reward: 0.04},
			},
		},
	}, {Model: "b", Explanation: reward.Explanation{
		Rewards: map[string]float64{reward.ByScore: -1}, Notes: []string{"no policy head"},
	}}}
}

// TestWriteExplained wants a map that nothing in its texts can break out of, and no escape sequence
// without colour.
func TestWriteExplained(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var b strings.Builder
		err := reward.WriteExplained(&b, hostile(), reward.TextOptions{Colour: colour, Width: 80})
		if err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for _, wanted := range []string{"score +1.0000   implicit +0.2500", "sum of 4 tokens +0.2500",
			"note: no policy head", " − b: score +2.0000"} {
			if !strings.Contains(text, wanted) {
				t.Errorf("colour %v: no %q in\n%s", colour, wanted, text)
			}
		}
		for _, evil := range []string{"\x1b]", "\x07", "\u202e", "\x1b[31m"} {
			if strings.Contains(text, evil) {
				t.Errorf("colour %v: %q is in the output", colour, evil)
			}
		}
		if got := strings.Contains(text, "\x1b"); got != colour {
			t.Errorf("colour %v: escape sequences: %v", colour, got)
		}
		if marked := strings.Contains(text, "m plain\x1b"); marked {
			t.Error("a token near zero is coloured")
		}
	}
}

// TestWriteExplainedWraps wants lines of the width, counted in columns and not in bytes.
func TestWriteExplainedWraps(t *testing.T) {
	of := hostile()[:1]
	of[0].Tokens = nil
	for range 12 {
		of[0].Tokens = append(of[0].Tokens, reward.TokenPart{Text: "日本"}) // four columns
	}
	var b strings.Builder
	if err := reward.WriteExplained(&b, of, reward.TextOptions{Colour: true, Width: 20}); err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat(strings.Repeat("日本", 5)+"\n", 2) + strings.Repeat("日本", 2) + "\n"
	if !strings.Contains(b.String(), "\n"+want) {
		t.Errorf("got %q", b.String())
	}
}

// TestWriteExplainedNarrow wants no line of ordinary words to be wider than a narrow terminal.
func TestWriteExplainedNarrow(t *testing.T) {
	rewards := map[string]float64{reward.ByScore: -0.5, reward.ByImplicit: -12.25,
		reward.ByNormalized: -0.125}
	one := reward.Explained{Model: "runs/hh", Explanation: reward.Explanation{Rewards: rewards,
		Beta: 0.1, Notes: []string{"the policy head was not trained, so its parts only moved along"},
		Tokens: []reward.TokenPart{{Text: "a", Reward: 1}, {Text: "b", Reward: -1}}}}
	for _, width := range []int{40, 80, 200} {
		var b strings.Builder
		opt := reward.TextOptions{Colour: true, Width: width}
		if err := reward.WriteExplained(&b, []reward.Explained{one, one}, opt); err != nil {
			t.Fatal(err)
		}
		text := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(b.String(), "")
		for line := range strings.Lines(text) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("a line of %d columns, want %d at most: %q", n, width, line)
			}
		}
		if strings.Contains(text, "score -0.5000   implicit -12.2500") != (width > 60) {
			t.Errorf("width %d: %s", width, text)
		}
	}
}
