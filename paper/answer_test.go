package paper

import (
	"slices"
	"testing"

	"haf/eval"
)

// TestTogether wants findings that differ in a value alone to be one, with the range of their
// differences and what holds all their intervals.
func TestTogether(t *testing.T) {
	of := func(a, b, on string, mean float64) finding {
		return finding{a, b, on, eval.Estimate{Mean: mean, Low: mean - 0.01, High: mean + 0.02}, 0}
	}
	for _, c := range []struct {
		several bool
		of      []finding
		want    []string
	}{
		{false, []finding{of("DPO", "Baseline", "", 0.1), of("HaF", "Baseline", "", 0.2)},
			[]string{"DPO (+10.0 [+9.0, +12.0])", "HaF (+20.0 [+19.0, +22.0])"}},
		{false, []finding{of("policy_weight 0.1", "policy_weight 0", "", 0.1),
			of("policy_weight 2", "policy_weight 0", "", -0.1), of("DPO, normalized", "x", "", 0.1)},
			[]string{"policy_weight 0.1, 2 (-10.0 to +10.0, intervals within [-11.0, +12.0])",
				"DPO, normalized (+10.0 [+9.0, +12.0])"}},
		{true, []finding{of("HaF, limit 200", "Baseline, limit 200", "", 0.1),
			of("DPO, limit 200", "Baseline, limit 200", "", 0.3),
			of("HaF, limit 400", "Baseline, limit 400", "", 0.2),
			of("HaF, limit 400", "HaF, one seed", "", 0.2)},
			[]string{"HaF than Baseline with limit 200, 400 (+10.0 to +20.0, intervals within " +
				"[+9.0, +22.0])", "DPO than Baseline with limit 200 (+30.0 [+29.0, +32.0])",
				"HaF, limit 400 than HaF, one seed (+20.0 [+19.0, +22.0])"}},
		{false, []finding{of("HaF", "Baseline", "a", 0.1), of("HaF", "Baseline", "b", 0.2)},
			[]string{"HaF on a, b (+10.0 to +20.0, intervals within [+9.0, +22.0])"}},
	} {
		if got := together(c.of, c.several); !slices.Equal(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
