package recipe

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/pref"
)

// TestRecipes loads every recipe of testdata: the good ones without error, the bad ones with the
// message that their first line wants.
func TestRecipes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			_, err := Load(file, nil)
			data, readErr := os.ReadFile(file)
			if readErr != nil {
				t.Fatal(readErr)
			}
			want, bad := strings.CutPrefix(strings.SplitN(string(data), "\n", 2)[0], "# want: ")
			switch {
			case bad != strings.HasSuffix(file, ".bad.toml"):
				t.Fatal("a bad recipe has its message in the first line, a good one none")
			case !bad && err != nil:
				t.Error(err)
			case bad && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
}

// TestShippedRecipes loads the recipes that come with haf.
func TestShippedRecipes(t *testing.T) {
	files, err := filepath.Glob("../recipes/*.toml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d recipes, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\n[[tables]]\n") {
			continue // a plan of many runs, which package paper loads
		}
		if _, err := Load(file, nil); err != nil {
			t.Error(err)
		}
	}
}

func TestSet(t *testing.T) {
	r, err := Load("testdata/hh.good.toml", []string{"train.lr=1e-5", "model.path=other folder",
		"data.train=a.jsonl", "lora.targets=[\"q_proj\", \"k_proj\"]", "lora.rank = 0", "train.seed=7"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Train.LR != 1e-5 || r.Model.Path != "other folder" ||
		!slices.Equal(r.Data.Train, []string{"a.jsonl"}) ||
		!slices.Equal(r.LoRA.Targets, []string{"q_proj", "k_proj"}) || r.LoRA.Rank != 0 ||
		r.Train.Seed != 7 {
		t.Errorf("overrides were not applied: %+v", r)
	}
	if r.origin["train.lr"] != "set" || r.origin["lora.alpha"] != "file" ||
		r.origin["train.clip"] != "" {
		t.Errorf("origins are %v", r.origin)
	}
	for set, want := range map[string]string{
		"train.lr":     `want key=value, such as train.lr=1e-5`,
		"lr=1":         `want a key with its table, such as train.lr`,
		"train.lrr=1":  `unknown key "train.lrr"; there are batch`,
		"train.lr=abc": `recipe: -set train.lr: train.lr is a string, want a number`,
	} {
		if _, err := Load("testdata/hh.good.toml", []string{set}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("-set %s: got %v, want %s", set, err, want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load("testdata/none.toml", nil); err == nil ||
		!strings.Contains(err.Error(), "none.toml") {
		t.Errorf("got %v", err)
	}
}

// TestStreams has seeds that must never change: a run made with them could not be repeated.
func TestStreams(t *testing.T) {
	if got := StreamSeed(1, "order"); got != StreamSeed(1, "order") || got == StreamSeed(1, "data") ||
		got == StreamSeed(2, "order") {
		t.Errorf("streams are not apart: %d", got)
	}
	if got := Stream(1, "lora").Uint64(); got != Stream(1, "lora").Uint64() {
		t.Error("a stream is not the same twice")
	}
}

func TestDataOptions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, rows string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(rows), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var a, b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&a, `{"prompt":"a %d","chosen":"good","rejected":"bad"}`+"\n", i)
		fmt.Fprintf(&b, `{"prompt":"b %d","chosen":"good","rejected":"bad"}`+"\n", i)
	}
	r := Default()
	r.Model.Path = dir
	r.Data.Train = []string{write("a.jsonl", a.String()), write("b.jsonl", b.String())}
	r.Data.Weights = []float64{1, 3}
	r.Data.LabelNoise = 0.5
	r.Data.ValidFraction = 0.25
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	trained, valid, lines, err := r.Groups()
	if err != nil {
		t.Fatal(err)
	}
	if len(trained)+len(valid) != 133 {
		t.Errorf("%d and %d groups of the mix, want 33 + 100 together", len(trained), len(valid))
	}
	flipped := func(groups []pref.Group) (n int) {
		for _, g := range groups {
			if g.Responses[g.Comparisons[0].Chosen] == "bad" {
				n++
			}
		}
		return n
	}
	if n := flipped(trained); n < 25 || n > 75 {
		t.Errorf("%d of %d training comparisons flipped, want about half", n, len(trained))
	}
	if n := flipped(valid); n != 0 {
		t.Errorf("%d validation comparisons flipped", n)
	}
	if last := lines[len(lines)-1]; last != fmt.Sprintf("label noise: %d training comparisons flipped",
		flipped(trained)) {
		t.Errorf("%q", last)
	}
	r.Data.Weights = r.Data.Weights[:1]
	if err := r.Validate(); err == nil || !strings.Contains(err.Error(), "data.weights is [1], want "+
		"one weight for each training file") {
		t.Errorf("%v", err)
	}
}

// TestColumn: a column is text, or an index as a number. Without one a recipe reads as it did
// before there was the key, so that older runs can be resumed; theirs may have a number.
func TestColumn(t *testing.T) {
	sets := []string{"model.path=x", "data.train=y"}
	r, err := Load("", sets)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(r); err != nil || strings.Contains(string(data), `"column"`) ||
		r.ModelOptions().Column != "" {
		t.Errorf("%s, %v", data, err)
	}
	for set, want := range map[string]string{
		"0": "0", `"7"`: "7", "helpfulness": "helpfulness", "0.7*helpfulness + " +
			"0.3*correctness": "0.7*helpfulness + 0.3*correctness", "-1*1": "-1*1",
	} {
		if r, err = Load("", append(sets, "model.column="+set)); err != nil ||
			r.ModelOptions().Column != want {
			t.Errorf("model.column=%s: %v, want %q", set, err, want)
		}
	}
	if r, err = Parse("x.toml", []byte("[model]\npath = \"x\"\ncolumn = 7\n[data]\ntrain = "+
		"[\"y\"]\n"), nil); err != nil || r.ModelOptions().Column != "7" {
		t.Errorf("a number in a file: %v", err)
	}
	data, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(data), `"column":"7"`) {
		t.Errorf("%s, %v", data, err)
	}
	for stored, want := range map[string]Column{`{"column": 1}`: "1",
		`{"column": "a + b"}`: "a + b", `{}`: ""} {
		var m Model
		if err := json.Unmarshal([]byte(stored), &m); err != nil || m.Column != want {
			t.Errorf("%s: %q, %v", stored, m.Column, err)
		}
	}
	if err := json.Unmarshal([]byte(`{"column": [1]}`), new(Model)); err == nil ||
		!strings.Contains(err.Error(), "model.column is [1], want a string or an index") {
		t.Error(err)
	}
	if _, err = Load("", append(sets, "model.column=[1]")); err == nil ||
		!strings.Contains(err.Error(), "model.column") {
		t.Error(err)
	}
	if !slices.Contains(Keys(), "model.column") {
		t.Errorf("keys %v", Keys())
	}
}
