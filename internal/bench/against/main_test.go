package main

import (
	"bytes"
	"strings"
	"testing"

	"haf/internal/bench"
)

// TestWrite compares medians with the targets of what was measured.
func TestWrite(t *testing.T) {
	results := bench.Results{}
	for _, rate := range []float64{30, 18, 10} {
		results.Add("hybrid", rate, 100, nil)
		results.Add(prefix+"hybrid", rate/9, 700, nil)
	}
	results.Add(prefix+"rm", 9, 700, nil)
	var out bytes.Buffer
	if err := write(&out, results); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"baseline hybrid  2.000", "9.00  ≥ 9.00  met",
		"2.00  ≥ 4.50  missed", "0.14  ≤ 0.33  met", "2 of 3 targets met"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}
