package recipe

import (
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"haf/hub"
	"haf/run"
)

// The manifest's paths are absolute, the recipe's are left as they were.
func TestAbsolute(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	r := Default()
	r.Model.Path, r.Model.Template, r.Data.Train, r.Data.Valid = "base", "my.jinja",
		[]string{"a.jsonl", "/b.jsonl"}, []string{"v.jsonl"}
	got, err := r.absolute()
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if got.Model.Path != at("base") || got.Model.Template != at("my.jinja") ||
		!slices.Equal(got.Data.Train, []string{at("a.jsonl"), "/b.jsonl"}) ||
		got.Data.Valid[0] != at("v.jsonl") {
		t.Errorf("%+v", got)
	}
	if r.Model.Path != "base" || r.Data.Train[0] != "a.jsonl" || r.Data.Valid[0] != "v.jsonl" {
		t.Errorf("the recipe was changed: %+v", r)
	}
	for _, name := range []string{"", "auto", "model", "plain", "phi-2", "mistral"} {
		r.Model.Template = name
		if got, err := r.absolute(); err != nil || got.Model.Template != name {
			t.Errorf("template %q became %q, %v", name, got.Model.Template, err)
		}
	}
}

// A run may go on wherever its files lie now, but not with other settings, base or data.
func TestSameRun(t *testing.T) {
	manifest := func(change func(m *Manifest)) *Manifest {
		r := Default()
		r.Model.Path, r.Data.Train = "/a/base", []string{"/a/x", "/a/y"}
		m := &Manifest{run.Manifest[*Recipe]{
			Recipe: r, BaseHash: "b", Encoder: "e",
			Data:        []run.DataFile{{Path: "/a/x", SHA256: "1"}, {Path: "/a/y", SHA256: "2"}},
			Fingerprint: "of an earlier rule",
		}}
		change(m)
		return m
	}
	started := manifest(func(*Manifest) {})
	for name, test := range map[string]struct {
		change func(m *Manifest)
		want   bool
	}{
		"same": {func(*Manifest) {}, true},
		"moved": {func(m *Manifest) {
			m.Recipe.Model.Path, m.Recipe.Data.Train, m.Data[0].Path = "/b/base", []string{"/b/x", "/b/y"},
				"/b/x"
		}, true},
		"other base":    {func(m *Manifest) { m.BaseHash = "c" }, false},
		"other data":    {func(m *Manifest) { m.Data[1].SHA256 = "3" }, false},
		"other tokens":  {func(m *Manifest) { m.Encoder = "f" }, false},
		"other setting": {func(m *Manifest) { m.Recipe.Train.LR *= 2 }, false},
		"other split": {func(m *Manifest) {
			m.Recipe.Data.Train, m.Recipe.Data.Valid = []string{"/a/x"},
				[]string{"/a/y"}
		}, false},
	} {
		if got, err := manifest(test.change).SameRun(started); err != nil || got != test.want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, test.want)
		}
	}
}

// A path that came from the hub is replaced wherever the recipe names it.
func TestReplace(t *testing.T) {
	r := Default()
	r.Model.Path, r.Data.Train, r.Data.Valid = "/c/1", []string{"/c/2", "/c/3"}, []string{"/c/2"}
	m := &Manifest{
		run.Manifest[*Recipe]{Recipe: r,
			Hub: []run.FetchedValue{{Key: "data.train", Found: hub.Found{Paths: []string{t.TempDir()}}}}}}
	if err := m.Fetch(t.Context(), nil); err != nil { // all is there: nobody is asked
		t.Fatal(err)
	}
	r.replace("/c/1", "/d/1")
	r.replace("/c/2", "/d/2")
	if r.Model.Path != "/d/1" || !slices.Equal(r.Data.Train, []string{"/d/2", "/c/3"}) ||
		r.Data.Valid[0] != "/d/2" {
		t.Errorf("%+v %+v", r.Model, r.Data)
	}
}

// The shards that one path on the hub named share a weight, also in a run that is resumed.
func TestSets(t *testing.T) {
	r := Default()
	r.sources = []run.FetchedValue{
		{Key: "data.valid", Found: hub.Found{Paths: []string{"a", "b", "c"}}},
		{Key: "data.train", Found: hub.Found{Paths: []string{"a", "b"}}}}
	got := r.sets("data.train", []string{"x", "a", "b", "c", "a"})
	if want := [][]string{{"x"}, {"a", "b"}, {"c"}, {"a"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
