package reward

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"haf/internal/wordwrap"
	"haf/pref"
)

// An Explained is an explanation with its model and sample, as haf explain prints it.
type Explained struct {
	Model string `json:"model"`
	pref.Sample
	Explanation
}

// TextOptions are the options for writing explanations to a terminal.
type TextOptions struct {
	Colour bool // mark tokens by ANSI colours; else every token has a line
	Width  int  // columns; 0 is 80
}

// shade is a foreground and background of the 256 colours, so that it reads on any terminal.
type shade struct{ text, ground int }

// Shades by growing size: blue for tokens that raise the reward, orange for those that lower it.
// The pair stays apart for colour-blind eyes.
var (
	raising  = []shade{{16, 153}, {16, 117}, {16, 75}, {231, 26}, {231, 18}}
	lowering = []shade{{16, 223}, {16, 215}, {16, 208}, {231, 166}, {231, 130}}
)

// shadeOf is the shade of a token's reward beside the largest one; ok is false near zero.
func shadeOf(x, largest float64) (s shade, ok bool) {
	share := math.Abs(x) / largest
	if !(share >= 0.05) { // also NaN, where all are 0
		return s, false
	}
	of := raising
	if x < 0 {
		of = lowering
	}
	return of[min(int(share*float64(len(of))), len(of)-1)], true
}

func (s shade) paint(text string) string {
	return fmt.Sprintf("\x1b[38;5;%d;48;5;%dm%s\x1b[0m", s.text, s.ground, text)
}

// WriteExplained writes explanations as text: rewards, the map of the tokens with its legend, and
// for two explanations the difference. All maps share one scale.
func WriteExplained(w io.Writer, of []Explained, opt TextOptions) error {
	if opt.Width <= 0 {
		opt.Width = 80
	}
	largest := 0.0
	for _, e := range of {
		for _, t := range e.Tokens {
			largest = max(largest, math.Abs(t.Reward))
		}
	}
	var b strings.Builder
	responses := map[string]int{} // by model
	for i, e := range of {
		if i > 0 {
			b.WriteByte('\n')
		}
		responses[e.Model]++
		fmt.Fprintf(&b, "%s, response %d\n%s\n", Printable(e.Model), responses[e.Model],
			rewardLine(e.Rewards, opt.Width))
		if e.Truncated {
			b.WriteString("tokens were cut to fit the model\n")
		}
		for _, note := range e.Notes {
			b.WriteString(wordwrap.Wrap("note: "+Printable(note), opt.Width) + "\n")
		}
		if len(e.Tokens) == 0 {
			continue
		}
		b.WriteByte('\n')
		if opt.Colour {
			writeMap(&b, e.Tokens, largest, opt.Width)
		} else {
			writeTokens(&b, e.Tokens, largest, opt.Width)
		}
		b.WriteString("\n" + wordwrap.Wrap(fmt.Sprintf("sum of %d tokens %+.4f = implicit reward",
			len(e.Tokens), e.Sum()), opt.Width) + "\n")
	}
	if largest > 0 {
		writeLegend(&b, of, largest, opt)
	}
	if len(of) == 2 {
		difference := map[string]float64{}
		for name, x := range of[0].Rewards {
			if y, ok := of[1].Rewards[name]; ok {
				difference[name] = x - y
			}
		}
		what := "first − second"
		if of[0].Model != of[1].Model {
			what = Printable(of[0].Model) + " − " + Printable(of[1].Model)
		}
		line := what + ": " + rewardLine(difference, math.MaxInt)
		if utf8.RuneCountInString(line) > opt.Width {
			line = what + ":\n" + rewardLine(difference, opt.Width)
		}
		b.WriteString("\n" + line + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("reward: %w", err)
	}
	return nil
}

// rewardLine lists rewards in their usual order, each on a line of its own where one is too short.
func rewardLine(rewards map[string]float64, width int) string {
	var parts []string
	for _, name := range []string{ByScore, ByImplicit, ByNormalized, ByCombined} {
		if x, ok := rewards[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %+.4f", name, x))
		}
	}
	line := strings.Join(parts, "   ")
	if len(line) > width {
		return strings.Join(parts, "\n")
	}
	return line
}

func writeLegend(b *strings.Builder, of []Explained, largest float64, opt TextOptions) {
	beta := 0.0
	for _, e := range of {
		beta = max(beta, e.Beta)
	}
	b.WriteString("\n" + wordwrap.Wrap(fmt.Sprintf(
		"reward of a token: β (log π − log π_ref), β = %g", beta),
		opt.Width) + "\n")
	if !opt.Colour {
		return
	}
	mark := "   "
	if opt.Width < 64 {
		mark = " "
	}
	fmt.Fprintf(b, "lowers %+.3g ", -largest)
	for i := len(lowering) - 1; i >= 0; i-- {
		b.WriteString(lowering[i].paint(mark))
	}
	b.WriteString(" 0 ")
	for _, s := range raising {
		b.WriteString(s.paint(mark))
	}
	fmt.Fprintf(b, " %+.3g raises\n", largest)
}

// writeMap writes the text of the tokens, each on its colour, wrapped to the width.
func writeMap(b *strings.Builder, tokens []TokenPart, largest float64, width int) {
	column := 0
	for _, t := range tokens {
		for i, line := range strings.SplitAfter(t.Text, "\n") {
			if line == "" && i > 0 {
				continue
			}
			text, breaks := strings.CutSuffix(line, "\n")
			if text = Printable(text); breaks {
				text += "↵"
			}
			wide := uniseg.StringWidth(text)
			if column > 0 && column+wide > width {
				b.WriteByte('\n')
				column = 0
			}
			if s, ok := shadeOf(t.Reward, largest); ok && text != "" {
				text = s.paint(text)
			}
			b.WriteString(text)
			if column += wide; breaks {
				b.WriteByte('\n')
				column = 0
			}
		}
	}
	if column > 0 {
		b.WriteByte('\n')
	}
}

// writeTokens writes a line for each token: its reward, a bar of it, and its text.
func writeTokens(b *strings.Builder, tokens []TokenPart, largest float64, width int) {
	half := max(2, min(12, (width-30)/3))
	for _, t := range tokens {
		n := 0
		if largest > 0 {
			n = int(math.Round(math.Abs(t.Reward) / largest * float64(half)))
		}
		left, right := strings.Repeat(" ", half), strings.Repeat(" ", half)
		if t.Reward < 0 {
			left = strings.Repeat(" ", half-n) + strings.Repeat("-", n)
		} else {
			right = strings.Repeat("+", n) + strings.Repeat(" ", half-n)
		}
		fmt.Fprintf(b, "%+9.4f  %s|%s  %q\n", t.Reward, left, right, t.Text)
	}
}

// Printable escapes characters that could control a terminal or change the direction of text.
func Printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r == unicode.ReplacementChar || unicode.IsPrint(r) || r == '\u200d' {
			b.WriteRune(r)
		} else {
			quoted := fmt.Sprintf("%q", r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}
