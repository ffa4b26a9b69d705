package report_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"haf/report"
)

// judged writes a run whose score orders the pairs below right rightly, of n, and whose implicit
// reward those from n − other.
func judged(t *testing.T, name string, n, right, other int, pairs bool) *report.Run {
	t.Helper()
	var lines strings.Builder
	margin := func(yes bool) int { return map[bool]int{true: 1, false: -1}[yes] }
	for i := range n {
		fmt.Fprintf(&lines, `{"prompt":[{"role":"user","content":"p%d"}],"chosen":"a","rejected":"b",`+
			`"rewards":{"score":{"margin":%d},"implicit":{"margin":%d}}}`+"\n", i, margin(i < right),
			margin(i >= n-other))
	}
	result := func(k int) string {
		p := float64(k) / float64(n)
		return fmt.Sprintf(`{"comparisons":%d,"accuracy":%.4f,"accuracy_low":%.4f,"accuracy_high":%.4f,`+
			`"standard_error":0.03}`, n, p, p-0.06, p+0.06)
	}
	files := map[string]string{"manifest.json": manifest, "metrics.jsonl": metrics,
		"eval.json": fmt.Sprintf(`{"data":["test.jsonl"],"rewards":{"score":%s,"implicit":%s}}`,
			result(right), result(other))}
	if pairs {
		files["pairs.jsonl"] = lines.String()
	}
	run, err := report.ReadRun(folder(t, name, files))
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// TestVerdict pairs the rewards that have the same comparisons, and decides by the intervals alone
// elsewhere.
func TestVerdict(t *testing.T) {
	sentence := func(runs ...*report.Run) string {
		page, err := report.Runs(runs)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(page.Markdown(), "\n")[4]
	}
	for _, test := range []struct {
		runs []*report.Run
		want string
	}{
		// 12 of 200 comparisons differ, all in favour of a
		{[]*report.Run{judged(t, "a", 200, 150, 40, true), judged(t, "b", 200, 138, 40, true)},
			"**a score is best with 75.0 % of 200 comparisons; the closest is b score (+6.0 points [+3.0, "},
		{[]*report.Run{judged(t, "a", 200, 150, 40, true), judged(t, "b", 200, 138, 40, false)},
			"**Undecided: a score has the highest accuracy, 75.0 % of 200 comparisons, but its lead over " +
				"b score may be chance (+6.0 points [-2.3, +14.3], unpaired, p = 0.157).**"},
		{[]*report.Run{judged(t, "a", 200, 150, 40, false), judged(t, "b", 200, 90, 40, false)},
			"**a score is best with 75.0 % of 200 comparisons; the closest is b score (+30.0 points "},
		{[]*report.Run{judged(t, "a", 200, 100, 100, true)},
			"**Undecided: a implicit and a score have the same accuracy, 50.0 % of 200 comparisons " +
				"(difference 0.0 points ["},
		{[]*report.Run{judged(t, "a", 200, 150, 40, true), judged(t, "b", 200, 150, 40, true)},
			"**Equal: a score and b score order every comparison alike, and 75.0 % of 200 " +
				"comparisons as the labels do.**"},
	} {
		if got := sentence(test.runs...); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s\nwant %s", got, test.want)
		}
	}
}

// TestVerdictOfPairs refuses a file of pairs that is none, and names the comparison.
func TestVerdictOfPairs(t *testing.T) {
	_, err := report.ReadRun(folder(t, "run", map[string]string{"manifest.json": manifest,
		"pairs.jsonl": "{}\n[]\n"}))
	if err == nil || !strings.Contains(err.Error(), "pairs.jsonl: comparison 2: ") {
		t.Errorf("%v", err)
	}
}

// TestDrawing keeps the legend below the axes, thins long series, and draws a band of intervals.
func TestDrawing(t *testing.T) {
	long := report.Series{Name: "long <name>"}
	for i := range 100_000 {
		long.X, long.Y = append(long.X, float64(i)), append(long.Y, float64(i%7))
	}
	long.Low, long.High = long.Y, long.Y
	svg, err := report.Plot{Title: "a & b", X: "step", Y: "loss", Series: []report.Series{long,
		{Name: "two", X: []float64{1, 2}, Y: []float64{1, 2}}}}.Draw()
	if err != nil {
		t.Fatal(err)
	}
	text := string(svg)
	if len(svg) > 40_000 {
		t.Errorf("the drawing of 100000 points has %d bytes", len(svg))
	}
	for _, want := range []string{"fill-opacity", "prefers-color-scheme:dark", "a &amp; b",
		`x="96.0" y="308.5" text-anchor="start">long &lt;name&gt;<`} {
		if !strings.Contains(text, want) {
			t.Errorf("the drawing has no %s", want)
		}
	}
}

// TestNamedPoints wants long names below an axis to stand in lines of their own, points of names
// without an order not to be joined, and two series not to cover each other.
func TestNamedPoints(t *testing.T) {
	names := []string{"dpo", "sft", "simpo, beta 1", "ipo", "robust, noise_rate 0.1",
		"cdpo, smoothing 0.1"}
	x, y := []float64{0, 1, 2, 3, 4, 5}, []float64{1, 2, 1, 3, 2, 1}
	draw := func(names ...string) string {
		svg, err := report.Plot{Title: "t", X: "below", Names: names, Series: []report.Series{
			{Name: "a", X: x[:len(names)], Y: y[:len(names)]},
			{Name: "b", X: x[:len(names)], Y: y[:len(names)]}}}.Draw()
		if err != nil {
			t.Fatal(err)
		}
		return string(svg)
	}
	joined, place := `stroke-linejoin="round"`, regexp.MustCompile(`cx="([0-9.]+)" cy="[0-9.]+"`)
	text := draw(names...)
	for _, want := range []string{`y="268.0" text-anchor="middle">robust,<`,
		`y="284.0" text-anchor="middle">noise_rate<`, `y="320.0" text-anchor="middle">below<`,
		`viewBox="0 0 640 352"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the drawing has no %s: %s", want, text)
		}
	}
	if strings.Contains(text, joined) {
		t.Error("points of names are joined by a line")
	}
	if text = draw("0.1", "0.2"); !strings.Contains(text, joined) {
		t.Error("points of numbers are not joined")
	}
	seen := map[string]bool{}
	for _, at := range place.FindAllStringSubmatch(text, 4) {
		seen[at[1]] = true
	}
	if len(seen) != 4 {
		t.Errorf("four points at %v", seen)
	}
}
