package reward_test

import (
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/reward"
)

// TestFreshMLP makes a score head of two layers: it scores zero, is the same for the same seed, is
// saved in GRM's layout and read again, and is not put in the place of another.
func TestFreshMLP(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	base := filepath.Join(shared.Root(), "lm", "testdata", "llama")
	open := func(dir string, head reward.HeadInit) (*reward.Model, error) {
		return reward.Open(device, dir, reward.Options{NoTokenizer: true, Positions: 64, Train: true,
			Head: head})
	}
	m, err := open(base, reward.HeadInit{Kind: reward.MLPHead, Units: 6,
		Random: rand.New(rand.NewPCG(1, 2))})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if !m.ScoreHeadUntrained {
		t.Error("the head is not fresh")
	}
	groups := []encode.Group{
		{Prompt: []int32{1, 5}, Responses: []encode.Response{encode.Answer([]int32{7, 2}),
			encode.Answer([]int32{9, 8, 2})}}}
	score := func(m *reward.Model) []float64 {
		t.Helper()
		heads, err := m.Read(t.Context(), groups, reward.ScoreHead, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		return heads.Scores[0]
	}
	if s := score(m); s[0] != 0 || s[1] != 0 {
		t.Errorf("scores are %v, want 0", s)
	}
	bound := 1 / math.Sqrt(float64(m.Config.Hidden))
	for _, p := range m.Params() {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(p.Name, "v_head.summary.0."):
			largest := 0.0
			for _, v := range a.Data {
				largest = max(largest, math.Abs(float64(v)))
			}
			if largest > bound || largest < bound/2 {
				t.Errorf("%s has a value of %v, the bound is %v", p.Name, largest, bound)
			}
		case p.Name == "v_head.summary.2.weight":
			if len(a.Data) != 6 {
				t.Errorf("%s has %d values", p.Name, len(a.Data))
			}
			for i := range a.Data {
				a.Data[i] = float32(i + 1)
			}
			if err := m.Set(p, a); err != nil {
				t.Fatal(err)
			}
		}
	}
	want := score(m)
	if want[0] == want[1] {
		t.Errorf("scores are %v after the last layer was set", want)
	}
	dir := filepath.Join(t.TempDir(), "saved")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	// a head that is there is kept
	for _, kind := range []string{"", reward.LinearHead, reward.MLPHead} {
		again, err := open(dir, reward.HeadInit{Kind: kind})
		if err != nil {
			t.Fatal(err)
		}
		if got := score(again); got[0] != want[0] || got[1] != want[1] || again.ScoreHeadUntrained {
			t.Errorf("saved and opened again, the scores are %v, were %v", got, want)
		}
		again.Close()
	}
	linear, err := open(base, reward.HeadInit{})
	if err != nil {
		t.Fatal(err)
	}
	defer linear.Close()
	dir = filepath.Join(t.TempDir(), "linear")
	if err := linear.Save(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := open(dir, reward.HeadInit{Kind: reward.MLPHead}); err == nil ||
		!strings.Contains(err.Error(), "has a score head of one matrix") {
		t.Errorf("%v", err)
	}
	if _, err := open(base, reward.HeadInit{Kind: "deep"}); err == nil ||
		!strings.Contains(err.Error(), `score head "deep" is not known: there are linear, mlp`) {
		t.Errorf("%v", err)
	}
}
