package reward_test

import (
	"fmt"
	"strings"
	"testing"

	"haf/backend"
	"haf/pref"
	"haf/recipe"
	"haf/reward"
)

// TestOneConversationOneReward: a conversation that stands in several groups has one reward, to the
// last bit. XLA rounds otherwise in a batch of another shape, so the heads alone give it several.
func TestOneConversationOneReward(t *testing.T) {
	device, err := backend.Open("")
	if err != nil {
		t.Fatal(err)
	}
	demo, err := recipe.WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	m := changed(t, device, demo.Base, false)
	// Each answer is compared with one shorter and one much longer, in batches of other shapes.
	var groups []pref.Group
	const answers = 12
	for _, other := range []string{"mice", strings.Repeat("the owl lives in trees ", 12)} {
		for k := range answers {
			prompt := []pref.Message{{Role: pref.User, Content: fmt.Sprintf("what does fox %d eat", k)}}
			groups = append(groups, pref.NewPair(prompt, "the fox eats berries", other, pref.Location{}))
		}
	}
	encoded, _, err := m.Encoder.Groups(groups)
	if err != nil {
		t.Fatal(err)
	}
	heads, err := m.Read(t.Context(), encoded, reward.ScoreHead|reward.PolicyHead, nil,
		nil)
	if err != nil {
		t.Fatal(err)
	}
	apart := 0
	for k := range answers {
		if heads.Scores[k][0] != heads.Scores[k+answers][0] ||
			heads.LogProbs[k][0] != heads.LogProbs[k+answers][0] {
			apart++
		}
	}
	readings, err := m.Reader(reward.ReaderOptions{}).Read(t.Context(), groups,
		[]string{reward.ByScore, reward.ByImplicit})
	if err != nil {
		t.Fatal(err)
	}
	for name, of := range readings.Rewards {
		for k := range answers {
			if a, b := of[k][0], of[k+answers][0]; a != b {
				t.Errorf("%s of conversation %d is %.17g in one group and %.17g in another", name, k, a, b)
			}
		}
	}
	if apart == 0 {
		t.Skip("this backend rounds alike in every batch, so the heads alone give one reward")
	}
	t.Logf("the heads alone give %d of %d conversations two values", apart, answers)
}
