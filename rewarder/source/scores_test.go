package source

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/pref"
	"haf/rewarder"
	"haf/rewarder/rewardertest"
)

// scoresFile writes a file of rewards and returns its name as a source.
func scoresFile(t *testing.T, rows ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "scores.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(rows, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return "scores:" + path
}

// TestScoresConform has rewards by conversation pass the suite. Rewards by id or by order cannot,
// because the suite reads responses without ids, and in any number.
func TestScoresConform(t *testing.T) {
	var rows []string
	for _, s := range rewardertest.Samples() {
		row, err := json.Marshal(map[string]any{"prompt": s.Prompt, "response": s.Response,
			"reward": counted(s.Prompt, s.Response), "truncated": false})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, string(row))
	}
	rows = append(rows, rows[0]) // a row twice, with one reward
	conforms(t, scoresFile(t, rows...), Options{})
}

func readScores(t *testing.T, name string, groups ...pref.Group) ([][]float64, error) {
	t.Helper()
	r, err := Open(t.Context(), name, Options{})
	if err != nil {
		return nil, err
	}
	read, err := r.Read(t.Context(), groups, nil)
	return read.Rewards[Score], err
}

func pairOf(id string) pref.Group {
	g := pref.NewPair([]pref.Message{{Role: pref.User, Content: "p"}}, "a", "b", pref.Location{})
	g.ID = id
	return g
}

func TestScoresByIDAndOrder(t *testing.T) {
	one := pref.Group{Prompt: pairOf("").Prompt, Responses: []string{"a"}, ID: "3"}
	for name, rows := range map[string][]string{
		"id": {`{"id": 3, "reward": 5}`, `{"id": "unused", "reward": 9}`,
			`{"id": "x", "rewards": [1, -2.5]}`},
		"groups by order": {`{"rewards": [1, -2.5]}`, `{"reward": 5}`},
		"by order":        {`{"reward": 1}`, `{"reward": -2.5}`, `{"reward": 5}`},
	} {
		got, err := readScores(t, scoresFile(t, rows...), pairOf("x"), one)
		if err != nil || fmt.Sprint(got) != "[[1 -2.5] [5]]" {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	ranked := `{"prompt": "p", "responses": ["b", "a"], "scores": [2, 1], "best": 0}`
	if got, err := readScores(t, scoresFile(t, ranked), pairOf("")); err != nil ||
		!slices.Equal(got[0], []float64{1, 2}) {
		t.Error(got, err)
	}
}

func TestScoresRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		rows  []string
		group pref.Group
		want  string
	}{
		"twice": {[]string{`{"id":"x","reward":1}`, `{"id":"x","reward":1}`}, pairOf("x"),
			`the id "x" is there twice, first at`},
		"missing":     {[]string{`{"id":"y","rewards":[1,2]}`}, pairOf("x"), `the id "x" is in no row`},
		"no id":       {[]string{`{"id":"y","rewards":[1,2]}`}, pairOf(""), "group 1 has no id"},
		"count":       {[]string{`{"id":"x","reward":1}`}, pairOf("x"), "1 rewards for 2 responses"},
		"order":       {[]string{`{"reward":1}`}, pairOf("x"), "1 rewards by order for 2 responses"},
		"group count": {[]string{`{"rewards":[1,2,3]}`}, pairOf("x"), "3 rewards for 2 responses"},
		"too many": {slices.Repeat([]string{`{"rewards":[1,2]}`}, 2), pairOf("x"),
			"4 rewards by order"},
		"mixed": {[]string{`{"reward":1}`, `{"id":"x","reward":1}`}, pairOf("x"),
			"want all alike"},
		"null":        {[]string{`{"reward":null}`}, pairOf("x"), "want one of reward"},
		"two":         {[]string{`{"reward":1,"scores":[1]}`}, pairOf("x"), "want one of reward"},
		"text":        {[]string{`{"reward":"1"}`}, pairOf("x"), "want a number"},
		"nan":         {[]string{`{"reward":NaN}`}, pairOf("x"), "NaN, want a finite number"},
		"infinite":    {[]string{`{"reward":1e999}`}, pairOf("x"), "that a float64 holds"},
		"none":        {[]string{`{"rewards":[]}`}, pairOf("x"), "an empty list"},
		"empty":       {[]string{``}, pairOf("x"), "no row"},
		"no response": {[]string{`{"prompt":"p","reward":1}`}, pairOf("x"), `field "response": missing`},
		"other number": {[]string{`{"prompt":"p","responses":["a"],"rewards":[1,2]}`}, pairOf("x"),
			"1 responses and 2 rewards"},
		"conflict": {[]string{`{"prompt":"p","response":"a","reward":1}`,
			`{"prompt":"p","response":"a","reward":2}`}, pairOf("x"), "has the reward 2, and 1 at"},
		"no conversation": {[]string{`{"prompt":"p","response":"a","reward":1}`}, pairOf("x"),
			`response 2 of 2 has no reward: no row has its prompt with the response "b"`},
	} {
		if got, err := readScores(t, scoresFile(t, c.rows...), c.group); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, %v, want %q", name, got, err, c.want)
		}
	}
	for name, want := range map[string]string{"scores:": "has no file",
		"scores:/no/such": "no such file"} {
		if err := Reach(t.Context(), name, Options{}); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Open(t.Context(), name, Options{}); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	if _, err := readScores(t, scoresFile(t, `{"reward":1}`),
		rewarder.Alone(rewardertest.Samples())...); err == nil {
		t.Error("one reward was enough for all samples")
	}
}

// TestScoresUnused reports once, at the end, how many rewards nobody asked for.
func TestScoresUnused(t *testing.T) {
	for want, rows := range map[string][]string{
		`2 of 3 ids are in no row that was read, the first is "u" (`: {`{"id": "u", "reward": 9}`,
			`{"id": "x", "rewards": [1, -2.5]}`, `{"id": "v", "reward": 9}`},
		`1 of 3 rewards were not asked for, the first is at `: {
			`{"prompt": "p", "responses": ["b", "a", "c"], "rewards": [2, 1, 0]}`},
		"": {`{"id": "x", "rewards": [1, -2.5]}`},
	} {
		var said []string
		opt := Options{Log: func(format string, args ...any) {
			said = append(said, fmt.Sprintf(format, args...))
		}}
		name := scoresFile(t, rows...)
		r, err := Open(t.Context(), name, opt)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := r.Read(t.Context(), []pref.Group{pairOf("x")}, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		got := strings.Join(said[1:], "\n")
		if !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestScoresReach: what reads conversations without rows is told before other work that ids and
// order find nothing for it.
func TestScoresReach(t *testing.T) {
	for row, want := range map[string]string{
		`{"id": "x", "reward": 1}`:                      "are found by id, but only haf eval",
		`{"reward": 1}`:                                 "are found by order, but only haf eval",
		`{"prompt": "p", "response": "a", "reward": 1}`: "",
		`{"prompt": "p"}`:                               "want one of reward",
		"":                                              "no row",
	} {
		err := Reach(t.Context(), scoresFile(t, row), Options{})
		if got := fmt.Sprint(err); (err == nil) != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s: %v, want %q", row, err, want)
		}
	}
	huge := scoresFile(t, `{"reward": 1e300}`, `{"reward": -1e300}`)
	if _, err := readScores(t, huge, pairOf("")); err == nil ||
		!strings.Contains(err.Error(), "want a number within ±1.7e+38") {
		t.Error(err)
	}
	asked := &single{served: "s", score: func(context.Context, []item, func(int)) ([]float64, error) {
		return []float64{1, 1e39}, nil
	}}
	if _, err := asked.Read(t.Context(), []pref.Group{pairOf("")}, nil); err == nil ||
		!strings.Contains(err.Error(), "s: response 2 of 2 has the reward 1e+39") {
		t.Error(err)
	}
}
