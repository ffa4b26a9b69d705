package paper

import (
	"path/filepath"
	"regexp"
	"testing"
)

// The published grids name what anyone can fetch, nothing beside the checkout.
func TestGridsNameTheHub(t *testing.T) {
	files, err := filepath.Glob("../recipes/paper-*.toml")
	if err != nil || len(files) < 6 {
		t.Fatalf("%v, %v", files, err)
	}
	model, data := regexp.MustCompile(`^[A-Z]\w+/[\w.-]+$|^microsoft/|^mistralai/`),
		regexp.MustCompile(`^datasets/[\w-]+/[\w-]+[/:]`)
	for _, file := range files {
		grid, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if path := grid.Recipe["model"].(map[string]any)["path"].(string); !model.MatchString(path) {
			t.Errorf("%s: model %s", file, path)
		}
		for _, s := range grid.Sets {
			for _, path := range append(s.Files, s.Test...) {
				if !data.MatchString(path) {
					t.Errorf("%s: set %s reads %s", file, s.Name, path)
				}
			}
		}
	}
}
