package reward_test

import (
	"path/filepath"
	"strings"
	"testing"

	"haf/pref"
	"haf/reward"
)

// TestFitStored fits the weights of the heads, stores them beside the model and says what they are
// worth.
func TestFitStored(t *testing.T) {
	device, base := demoBase(t)
	dir := filepath.Join(t.TempDir(), "model")
	if err := changed(t, device, base, false).Save(dir); err != nil {
		t.Fatal(err)
	}
	r := open(t, device, dir, reward.Options{}).Reader(reward.ReaderOptions{})
	prompt := samples()[0].Prompt
	groups := []pref.Group{
		pref.NewPair(prompt, "the fox eats mice", "the fox eats rain", pref.Location{}),
		pref.NewPair(prompt, "mice", "i am glad you asked", pref.Location{}),
		pref.NewPair(prompt, "the fox eats rain", "mice", pref.Location{}),
	}
	fit, err := r.FitCombination(t.Context(), groups, "three pairs")
	if err != nil {
		t.Fatal(err)
	}
	stored, err := open(t, device, dir, reward.Options{}).Combination()
	if err != nil || stored != fit.Combination || stored.Split != "three pairs" ||
		stored.Comparisons != 3 {
		t.Errorf("stored %+v, fitted %+v: %v", stored, fit.Combination, err)
	}
	read, err := r.Read(t.Context(), groups, []string{reward.ByScore, reward.ByImplicit})
	if err != nil {
		t.Fatal(err)
	}
	again, err := reward.FitCombination(&read, "three pairs")
	if err != nil || again != stored {
		t.Errorf("fitted again %+v: %v", again, err)
	}
	var page strings.Builder
	if err := fit.Write(&page); err != nil || len(fit.Heads) != 3 ||
		!strings.Contains(page.String(), "fitted on 3 comparisons: three pairs") ||
		!strings.Contains(page.String(), reward.ByCombined) {
		t.Errorf("%s, %+v: %v", page.String(), fit.Heads, err)
	}
	if fit.File != filepath.Join(dir, reward.CombinationName) {
		t.Errorf("stored in %s", fit.File)
	}
}
