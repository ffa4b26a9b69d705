package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/recipe"
)

// TestPage draws results of both scales: the full ones hide the reduced ones of their series, the
// last line of a case holds.
func TestPage(t *testing.T) {
	dir := t.TempDir()
	lines := []string{
		`{"series":"length","x":128,"scale":"reduced","seconds":9,"peak_mb":900}`,
		`{"series":"length","x":128,"scale":"full","seconds":1,"peak_mb":100}`,
		`{"series":"length","x":256,"scale":"full","seconds":7,"peak_mb":700}`,
		`{"series":"length","x":256,"scale":"full","seconds":4,"peak_mb":200}`,
		`{"series":"pairs","x":1000,"scale":"reduced","seconds":0.5,"peak_mb":50,"bench":{"reading":{"pairs":990,"read_s":0.1,"encode_s":0.3,"pack_s":0.1}}}`,
	}
	path := filepath.Join(dir, "growth.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "growth.md")
	if err := run(t.Context(), []string{"-draw", "-results", path, "-page", page}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, want := range []string{"| 128 | 1.00 |", "| 256 | 4.00 | 2.00 | 200 | 1.00 |",
		"| 1000 | 990 | 0.10 | 0.30 | 0.10 |", "Reduced measurement"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "900") || strings.Contains(text, "700") {
		t.Errorf("results that no longer hold in\n%s", text)
	}
	if svg, err := os.ReadFile(filepath.Join(dir, "growth.svg")); err != nil ||
		!strings.Contains(string(svg), "</svg>") {
		t.Errorf("no plot: %v", err)
	}
}

// TestMaterial makes pairs of a length and varied pairs from the demo's, and a model of another
// depth, which must open.
func TestMaterial(t *testing.T) {
	demo, err := recipe.WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &study{model: demo.Base, data: demo.Train, dir: t.TempDir()}
	made, err := s.newTexts()
	if err != nil {
		t.Fatal(err)
	}
	path, err := made.ofLength(48, 5)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.madeModel(3)
	if err != nil {
		t.Fatal(err)
	}
	r := recipe.Default()
	r.Model.Path, r.Model.MaxLength, r.Model.Truncation = dir, 48, "drop"
	r.Data.Train, r.Data.ValidFraction = []string{path}, 0
	p, err := r.EstimateIn(0)
	if err != nil {
		t.Fatal(err)
	}
	if p.Run.Groups != 5 {
		t.Errorf("%d of 5 pairs have at most 48 tokens", p.Run.Groups)
	}
	if per := p.Run.PackingEfficiency * float64(p.Run.Shapes[0].Positions()) / 5; per < 60 ||
		per > 72 {
		t.Errorf("%.0f tokens a pair, want nearly 72", per)
	}
	if path, err = made.varied(4000); err != nil {
		t.Fatal(err)
	}
	r.Data.Train, r.Model.MaxLength = []string{path}, 0
	if p, err = r.EstimateIn(0); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(p.Report[0], "duplicates 0") || p.Run.Groups < 3900 {
		t.Errorf("%d groups; %s", p.Run.Groups, p.Report[0])
	}
}
