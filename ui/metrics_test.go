package ui

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// seriesOf asks for the curves of a run.
func seriesOf(t testing.TB, a *App, query ...string) series {
	t.Helper()
	code, body := get(t, a, "/api/series"+values(query...))
	var answer struct{ Runs []series }
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != 200 ||
		len(answer.Runs) != 1 {
		t.Fatalf("status %d, %v: %s", code, err, body)
	}
	return answer.Runs[0]
}

// TestSeriesSamples wants a long run to be sampled evenly, its ends kept, and a part of it to come
// with all its steps.
func TestSeriesSamples(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "run"), 25_000, 1)
	a := app(t, nil, root)
	s := seriesOf(t, a, "run", "run")
	if s.Steps != 25_000 || s.Every != 25 || len(s.X) != pointsOfRun+1 || s.X[0] != 1 ||
		s.X[1] != 26 || s.X[len(s.X)-1] != 25_000 {
		t.Errorf("%d steps, one of %d, %d points from %d to %d", s.Steps, s.Every, len(s.X), s.X[0],
			s.X[len(s.X)-1])
	}
	if got := *s.Columns["loss"][1]; got != 1.0/26 {
		t.Errorf("loss of step 26 is %v", got)
	}
	if got := *s.Columns["tokens_per_second"][0]; got != 50 {
		t.Errorf("%v tokens a second, want 50", got)
	}
	if got := *s.Columns["memory"][0]; got != 3 {
		t.Errorf("memory %v GB, want 3", got)
	}
	if got := *s.Columns["log_ratio_rejected"][0]; got != -2 {
		t.Errorf("log-ratio of rejected responses %v, want -2", got)
	}
	s = seriesOf(t, a, "run", "run", "from", "101", "to", "300")
	if s.Every != 1 || len(s.X) != 200 || s.X[0] != 101 || s.X[199] != 300 {
		t.Errorf("a part: one of %d, %d points: %v", s.Every, len(s.X), s.X)
	}
	if e := s.Evals["score"]; e == nil || len(e.X) != 1 || e.Y[0] != 0.7 {
		t.Errorf("validations %v", s.Evals)
	}
}

// TestSeriesFollows wants lines that are appended to be seen, half a line to wait, and a file that
// was cut back, as resuming does, to be read anew.
func TestSeriesFollows(t *testing.T) {
	root := t.TempDir()
	writeRun(t, filepath.Join(root, "run"), 3, 1)
	a := app(t, nil, root)
	path := filepath.Join(root, "run", "metrics.jsonl")
	steps := func() []int { return seriesOf(t, a, "run", "run").X }
	wants := func(what string, want ...int) {
		t.Helper()
		if got := steps(); !slices.Equal(got, want) {
			t.Errorf("%s: steps %v, want %v", what, got, want)
		}
	}
	appendTo := func(data []byte) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wants("at first", 1, 2, 3)
	line := step(t, 4)
	appendTo(line[:20])
	wants("half a line", 1, 2, 3)
	appendTo(line[20:])
	wants("the line", 1, 2, 3, 4)
	// A resumed run: fewer lines, then as many bytes of others as before.
	var other []byte
	for _, i := range []int{1, 2, 5, 6, 7, 8, 9} {
		other = append(other, step(t, i)...)
	}
	if err := os.WriteFile(path, other, 0o644); err != nil {
		t.Fatal(err)
	}
	wants("replaced", 1, 2, 5, 6, 7, 8, 9)
}

// TestSeriesDamaged wants lines that cannot be read to hide nothing but themselves, and to be named
// on the page: no JSON, a step of another shape, a line without end, one that ends the file.
func TestSeriesDamaged(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "run")
	writeRun(t, dir, 3, 1)
	a := app(t, nil, root)
	long := `{"kind":"step","step":5,"text":"` + strings.Repeat("x", 3*maxLine) + `"}`
	lines := []string{string(step(t, 1)), "{not JSON}\n", `{"kind":"step","step":"two"}` + "\n",
		string(step(t, 4)), long + "\n", string(step(t, 6)), "\n", string(step(t, 8)),
		`{"kind":"step"` + "\n"}
	if err := os.WriteFile(filepath.Join(dir, "metrics.jsonl"), []byte(strings.Join(lines, "")),
		0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // when it is indexed, and when the index is there
		s := seriesOf(t, a, "run", "run")
		if want := []int{1, 4, 6, 8}; !slices.Equal(s.X, want) {
			t.Errorf("steps %v, want %v", s.X, want)
		}
		named := strings.Join(s.Damaged, "\n")
		for _, n := range []int{2, 3, 5, 7, 9} {
			if !strings.Contains(named, fmt.Sprintf("metrics.jsonl, line %d: ", n)) {
				t.Errorf("line %d is not named in %q", n, named)
			}
		}
	}
	if s := seriesOf(t, a, "run", "run", "from", "2", "to", "7"); !slices.Equal(s.X, []int{4, 6}) {
		t.Errorf("steps 2 to 7: %v", s.X)
	}
	for path, want := range map[string]string{"/": `href="/runs?run=run"`,
		"/runs?run=run": "metrics.jsonl, line 3: "} {
		if code, body := get(t, a, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, want %q in %s", path, code, want, body)
		}
	}
	if code, body := get(t, a, "/"); code != 200 || !strings.Contains(body, `class="r">8</td>`) {
		t.Errorf("the last step that can be read is not in the list: %s", body)
	}
}

// BenchmarkOpen opens a run of 100,000 steps, as its page does.
func BenchmarkOpen(b *testing.B) {
	root := b.TempDir()
	writeRun(b, filepath.Join(root, "run"), 100_000, 1)
	for b.Loop() {
		a := app(b, nil, root)
		get(b, a, "/runs?run=run")
		seriesOf(b, a, "run", "run")
	}
}

// BenchmarkList lists 50 runs of 1,000 steps.
func BenchmarkList(b *testing.B) {
	root := b.TempDir()
	for i := range 50 {
		writeRun(b, filepath.Join(root, "group", string(rune('a'+i%26))+string(rune('a'+i/26))), 1000, 1)
	}
	for b.Loop() {
		get(b, app(b, nil, root), "/")
	}
}
