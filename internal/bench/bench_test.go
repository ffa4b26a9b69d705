package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestSelectCases leaves out cases without data and refuses cases that are not there.
func TestSelectCases(t *testing.T) {
	all, err := SelectCases(nil, true)
	if err != nil || len(all) == 0 {
		t.Fatalf("%v: %v", all, err)
	}
	grouped := slices.DeleteFunc(slices.Clone(all), func(name string) bool {
		return !strings.HasPrefix(name, "groups")
	})
	pairs, err := SelectCases(nil, false)
	if err != nil || len(grouped) == 0 || len(pairs) != len(all)-len(grouped) {
		t.Errorf("%v without groups, of %v: %v", pairs, all, err)
	}
	if got, err := SelectCases(pairs[:1], false); err != nil || !slices.Equal(got, pairs[:1]) {
		t.Errorf("%v: %v", got, err)
	}
	for _, name := range []string{"none", grouped[0]} {
		if got, err := SelectCases([]string{name}, false); err == nil {
			t.Errorf("%s gave %v", name, got)
		}
	}
}

// TestRunCases has a program in the place of haf, runs it for every case in turn, and ends at its
// failure.
func TestRunCases(t *testing.T) {
	var told []string
	logf := func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }
	rates := 0
	arguments := func(name string) []string {
		rates++
		return []string{"-c", fmt.Sprintf(`echo '{"rate": %d}'`, rates)}
	}
	results, err := RunCases(t.Context(), []string{"a", "b"}, 3, "sh", arguments, logf)
	if err != nil {
		t.Fatal(err)
	}
	if results["a"].MedianRate() != 3 || results["b"].MedianRate() != 4 || len(told) != 6 ||
		told[5] != "run 3: b" || results["a"].MedianPeakMB() <= 0 {
		t.Errorf("%+v, %+v, told %q", results["a"], results["b"], told)
	}
	failing := func(string) []string { return []string{"-c", "echo broken >&2; exit 1"} }
	if _, err := RunCases(t.Context(), []string{"a"}, 1, "sh", failing, logf); err == nil ||
		!strings.Contains(err.Error(), "benchmark a: ") || !strings.Contains(err.Error(), "broken") {
		t.Errorf("a case that fails: %v", err)
	}
}
