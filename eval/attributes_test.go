package eval_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// rated is a group of responses with ratings of the attribute taste.
func rated(prompt string, ratings ...float64) pref.Group {
	g := pref.Group{Prompt: []pref.Message{{Role: pref.User, Content: prompt}},
		Grades: map[string][]float64{"taste": ratings}}
	for i := range ratings {
		g.Responses = append(g.Responses, fmt.Sprint("response ", i))
	}
	return g
}

// The values are those of scipy 1.17.1: pearsonr([3, 1, 2, 5], [4, 1, 3, 3]), and spearmanr.
func TestRatingsOf(t *testing.T) {
	groups := []pref.Group{rated("p", 4, 1), rated("q", 3, math.NaN()), rated("q", 3)}
	rewards := [][]float64{{3, 1}, {2, 99}, {5}}
	r, err := eval.RatingsOf(groups, rewards, "taste")
	if err != nil {
		t.Fatal(err)
	}
	near := func(what string, got, want float64) {
		if math.Abs(got-want) > 1e-12 {
			t.Errorf("%s %v, want %v", what, got, want)
		}
	}
	near("Pearson", r.Pearson.Value, 0.5816750507471111)
	near("Spearman", r.Spearman.Value, 0.6324555320336759)
	near("RMSE", r.RMSE, math.Sqrt(6.0/4))
	near("deviation", r.Deviation, math.Sqrt(4.75/4))
	// Both ratings of q are 3: only p compares.
	if r.Prompts != 2 || r.Responses != 4 || r.Accuracy.N != 1 || r.Accuracy.Value != 1 ||
		!(r.Accuracy.Low < 0.3) || r.Accuracy.High != 1 || !(r.Pearson.Low <= r.Pearson.Value) {
		t.Errorf("%+v", r)
	}
	one, err := eval.RatingsOf(groups[:1], rewards[:1], "taste")
	if err != nil || one.Pearson.Low != -1 || one.Pearson.High != 1 {
		t.Errorf("an interval of one prompt: %+v, %v", one, err)
	}
	if _, err := eval.RatingsOf(groups, rewards, "smell"); err == nil {
		t.Error("ratings that nobody gave")
	}
	tied, err := eval.RatingsOf([]pref.Group{rated("p", 4, 1, 2)}, [][]float64{{1, 1, 0}}, "taste")
	if err != nil || tied.Accuracy.N != 3 || math.Abs(tied.Accuracy.Value-0.5) > 1e-12 {
		t.Errorf("4 and 1 tie, 4 above 2 is right, 2 below 1 is wrong: %+v, %v", tied, err)
	}
}

// A reward of an attribute's name is set against that attribute, any other against all.
func TestEvaluateAttributes(t *testing.T) {
	g := rated("p", 4, 1)
	g.Grades["smell"] = []float64{1, 2}
	of := [][]float64{{2, 1}}
	e, err := eval.Evaluate(pref.Readings{Names: []string{"taste", "score"}, Groups: []pref.Group{g},
		Index: []int{0}, Rewards: map[string][][]float64{"taste": of, "score": of}})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Attributes["taste"]) != 1 || len(e.Attributes["score"]) != 2 || len(e.Rewards) != 0 ||
		e.Accuracy("taste") != 1 || e.Accuracy("score") != 0 {
		t.Errorf("%+v", e)
	}
	var b bytes.Buffer
	if err := e.Write(&b); err != nil || strings.Contains(b.String(), "margin") ||
		strings.Count(b.String(), "\n") != 4 {
		t.Errorf("%s, %v", b.String(), err)
	}
}
