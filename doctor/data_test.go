package doctor

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

// write makes a preference file of n rows.
func write(t *testing.T, n int, row func(i int) string) string {
	t.Helper()
	var lines []string
	for i := range n {
		lines = append(lines, row(i))
	}
	path := filepath.Join(t.TempDir(), "data.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func pairRow(prompt, chosen, rejected string) string {
	return fmt.Sprintf(`{"prompt": %q, "chosen": %q, "rejected": %q}`, prompt, chosen, rejected)
}

// TestData examines sets with one fault each.
func TestData(t *testing.T) {
	answer := func(i int) string { return strings.Repeat("a", 5+i%3) }
	healthy := func(i int) string {
		return pairRow(fmt.Sprint("question ", i), answer(i), answer(i+1)+
			"b")
	}
	for name, c := range map[string]struct {
		rows  int
		row   func(i int) string
		check string
	}{
		"small": {20, healthy, "size"},
		"conflicts": {400, func(i int) string {
			return []string{pairRow(fmt.Sprint(i/2), "yes", "not"),
				pairRow(fmt.Sprint(i/2), "not", "yes")}[i%2]
		}, "conflicts"},
		"duplicates": {400, func(i int) string { return healthy(i / 2) }, "duplicates"},
		"length": {400, func(i int) string {
			return pairRow(fmt.Sprint(i), "a long answer", "short")
		}, "length"},
		"rows": {10, func(i int) string { return "{" }, "rows"},
	} {
		report, err := Data([]string{write(t, c.rows, c.row)}, nil, pref.Options{Format: "auto"})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Check == c.check }) {
			t.Errorf("%s: found %+v", name, report.Findings)
		}
	}
	large := write(t, 2000, func(i int) string {
		return pairRow(fmt.Sprint("question ", i), answer(i), answer(i + 1)[:4]+
			strings.Repeat("b", 1+i%3))
	})
	report, err := Data([]string{large}, []string{write(t, 5, func(i int) string {
		return pairRow(fmt.Sprint("other ", i), "a", "b")
	})}, pref.Options{Format: "auto"})
	if err != nil || len(report.Findings) > 0 || len(report.Checks) != 7 {
		t.Errorf("healthy: %+v, %v", report, err)
	}
	report, err = Data([]string{large}, []string{large}, pref.Options{Format: "auto"})
	if err != nil || report.Problems() != 1 || report.Findings[0].Check != "leakage" {
		t.Errorf("leakage: %+v, %v", report, err)
	}
}

// TestLabelled reads responses that are labelled one by one, and finds kinds that are rare.
func TestLabelled(t *testing.T) {
	const rows = 2000
	for desirable, want := range map[int]string{
		0:           "of 2000 labelled responses 0 are desirable and 2000 undesirable",
		rows/20 - 1: "of 2000 labelled responses 99 are desirable and 1901 undesirable",
		rows / 20:   "",
		rows / 2:    "",
		rows:        "of 2000 labelled responses 2000 are desirable and 0 undesirable",
	} {
		path := write(t, rows, func(i int) string {
			return fmt.Sprintf(`{"prompt": "question %d", "completion": "answer", "label": %t}`, i,
				i < desirable)
		})
		report, err := Data([]string{path}, nil, pref.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range report.Findings {
			if f.Check != "labels" || f.Severity != Warning {
				t.Errorf("%d desirable: %+v", desirable, f)
			}
			found = append(found, f.What)
		}
		if strings.Join(found, "; ") != want {
			t.Errorf("%d desirable: %q, want %q", desirable, found, want)
		}
	}
	few := write(t, 10, func(i int) string {
		return fmt.Sprintf(`{"prompt": "q%d", "completion": "a", "label": %t}`, i, i%2 == 0)
	})
	report, err := Data([]string{few}, nil, pref.Options{})
	if err != nil || len(report.Findings) != 1 ||
		!strings.HasPrefix(report.Findings[0].What, "10 labelled responses: ") {
		t.Errorf("few: %+v, %v", report, err)
	}
}
