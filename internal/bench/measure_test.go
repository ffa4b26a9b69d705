package bench_test

import (
	"testing"

	"haf/internal/bench"
	"haf/recipe"
)

// TestCasesAreRecipes wants every case to change a recipe into another that is valid.
func TestCasesAreRecipes(t *testing.T) {
	for _, c := range bench.Cases() {
		r := recipe.Default()
		r.Model.Path, r.Data.Train = "model", []string{"pairs.jsonl"}
		for _, set := range c.Sets {
			if err := r.Override(set); err != nil {
				t.Errorf("%s: %v", c.Name, err)
			}
		}
		if err := r.Validate(); err != nil {
			t.Errorf("%s: %v", c.Name, err)
		}
	}
}
