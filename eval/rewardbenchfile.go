package eval

import (
	"encoding/json"
	"fmt"
	"strconv"

	"haf/pref"
)

// A RewardBenchFile holds the files that RewardBench's own scripts write for a model.
type RewardBenchFile struct {
	// Results is eval-set/<model>.json: flat, sorted keys, indented by four: model, model_type,
	// chat_template and the accuracy of every subset.
	Results []byte
	// Scores is eval-set-scores/<model>.json: columns, with one value per prompt. RewardBench 1:
	// text_chosen, text_rejected, results, subset, id, scores_chosen, scores_rejected; RewardBench 2:
	// text, scores, results, num_correct, subset, id. Texts are lists of messages.
	Scores []byte
}

// NewRewardBenchFile makes the files for a model's rewards on the groups of RewardBench 1 or 2;
// suite decides which.
func NewRewardBenchFile(
	suite SuiteResult, model, template string, groups []pref.Group, rewards [][]float64,
) (RewardBenchFile, error) {
	if err := check(groups, rewards); err != nil {
		return RewardBenchFile{}, err
	}
	head := func() map[string]any {
		return map[string]any{"model": model, "model_type": "Seq. Classifier", "chat_template": template}
	}
	results := head()
	for _, s := range suite.Subsets {
		results[s.Name] = s.Score
	}
	scores := head()
	n := len(groups)
	subsets, ids := make([]string, n), make([]any, n)
	for g, group := range groups {
		subsets[g], ids[g] = group.Subset, group.ID
		// numbers there, text in 2
		if id, err := strconv.Atoi(group.ID); err == nil && suite.Suite == SuiteRewardBench {
			ids[g] = id
		}
	}
	scores["subset"], scores["id"] = subsets, ids
	switch suite.Suite {
	case SuiteRewardBench:
		texts := [2][][]pref.Message{}
		values := [2][]float64{}
		right01 := make([]int, n)
		for g, group := range groups {
			if len(group.Comparisons) != 1 {
				return RewardBenchFile{}, fmt.Errorf(
					"eval: %s: %d comparisons, want one in RewardBench's file", name(group, g),
					len(group.Comparisons))
			}
			c := group.Comparisons[0]
			for side, k := range [2]int{c.Chosen, c.Rejected} {
				texts[side] = append(texts[side], dialogue(group, k))
				values[side] = append(values[side], rewards[g][k])
			}
			right01[g] = int(right(group, rewards[g]))
		}
		scores["text_chosen"], scores["text_rejected"] = texts[0], texts[1]
		scores["scores_chosen"], scores["scores_rejected"], scores["results"] = values[0], values[1],
			right01
	case SuiteRewardBench2:
		texts, correct, credits := make([][][]pref.Message, n), make([]int, n), make([]any, n)
		for g, group := range groups {
			for k := range group.Responses {
				texts[g] = append(texts[g], dialogue(group, k))
			}
			chosen := map[int]bool{}
			for _, c := range group.Comparisons {
				chosen[c.Chosen] = true
			}
			correct[g] = len(chosen)
			if group.Subset != ties { // the published files have null there
				credits[g] = bestOfCredit(group, rewards[g])
			}
		}
		scores["text"], scores["scores"], scores["results"], scores["num_correct"] = texts, rewards,
			credits, correct
	default:
		return RewardBenchFile{}, fmt.Errorf("eval: RewardBench's files of the suite %s, want %s or %s",
			suite.Suite, SuiteRewardBench, SuiteRewardBench2)
	}
	var f RewardBenchFile
	var err error
	if f.Results, err = json.MarshalIndent(results, "", "    "); err != nil {
		return f, fmt.Errorf("eval: RewardBench's results: %w", err)
	}
	if f.Scores, err = json.MarshalIndent(scores, "", "    "); err != nil {
		return f, fmt.Errorf("eval: RewardBench's scores: %w", err)
	}
	return f, nil
}

func dialogue(g pref.Group, k int) []pref.Message {
	messages := append([]pref.Message{}, g.Prompt...)
	return append(messages, pref.Message{Role: pref.Assistant, Content: g.Responses[k]})
}
