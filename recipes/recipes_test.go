package recipes_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/recipes"
)

// TestList wants every file of the folder, with a verb and a title.
func TestList(t *testing.T) {
	paths, err := filepath.Glob("*.toml")
	if err != nil {
		t.Fatal(err)
	}
	list := recipes.List()
	if len(list) != len(paths) {
		t.Errorf("%d recipes of %d files", len(list), len(paths))
	}
	verbs := map[string]string{}
	for _, r := range list {
		verbs[r.Name] = r.Verb
		if len(r.Title) < 20 || strings.HasSuffix(r.Title, ".") {
			t.Errorf("%s has the title %q", r.Name, r.Title)
		}
		built, err := recipes.Read(r.Name)
		if file, wrong := os.ReadFile(r.Name + ".toml"); err != nil || wrong != nil ||
			string(built) != string(file) {
			t.Errorf("%s: %v, %v: the built-in one differs from the file", r.Name, err, wrong)
		}
	}
	for name, want := range map[string]string{
		"hh-helpful": "train", "rlhf-small": "rlhf", "paper-tiny": "paper",
	} {
		if verbs[name] != want {
			t.Errorf("%s is of haf %s, want %s", name, verbs[name], want)
		}
	}
}

// TestRead prefers a file to the built-in recipe of its name, and takes only a bare name for one.
func TestRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("grm", []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := recipes.Read("grm"); err != nil || string(got) != "mine" {
		t.Errorf("%q, %v: want the file", got, err)
	}
	for _, name := range []string{"recipes/grm", "kto.toml", "../kto", "nothing", "", "."} {
		if _, err := recipes.Read(name); err == nil {
			t.Errorf("%q is read", name)
		}
	}
}
