package reward_test

import (
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"haf/backend"
	"haf/reward"
	"haf/weights"
)

// attributes are labels as published heads have them: some hold signs, one is a number, two begin
// alike.
var attributes = []string{"helpsteer-helpfulness", "helpsteer", "a + b", "7", "two words"}

// labelled is a classifier with a label for each attribute: label i is row(i+1), with the bias i+1.
func labelled(column string, more map[string]any) layout {
	names := map[string]string{}
	var rows, biases []float32
	for i, name := range attributes {
		names[strconv.Itoa(i)] = name
		rows, biases = append(rows, row(float64(i+1))...), append(biases, float32(i+1))
	}
	config := map[string]any{"architectures": []string{"LlamaForSequenceClassification"},
		"id2label": names}
	maps.Copy(config, more)
	n := len(attributes)
	return layout{config, map[string][]weights.Array{"model.safetensors": {
		array("score.weight", rows, n, hidden), array("score.bias", biases, n),
	}}, column}
}

// TestColumns: a column is the weighted sum of the rewards of labels, by index or name, and of
// their biases.
func TestColumns(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	alone := make([][]float64, len(attributes))
	for i := range attributes {
		alone[i] = labelled(strconv.Itoa(i), nil).read(t, device)
	}
	if alone[0][0] == alone[1][0] || alone[0][0] == alone[0][1] {
		t.Fatalf("rewards %v tell nothing apart", alone)
	}
	normalized := map[string]any{"normalize_reward": true, "mean": 0.5, "std": 4}
	for column, want := range map[string][]float64{
		"0":                                     {1, 0, 0, 0, 0},
		"+1*4":                                  {0, 0, 0, 0, 1},
		"helpsteer":                             {0, 1, 0, 0, 0},
		"helpsteer-helpfulness":                 {1, 0, 0, 0, 0},
		" two words ":                           {0, 0, 0, 0, 1},
		"a + b":                                 {0, 0, 1, 0, 0},
		"0.5*a + b - 2 * helpsteer-helpfulness": {-2, 0, 0.5, 0, 0},
		"helpsteer-2e-1*helpsteer-helpfulness":  {-0.2, 1, 0, 0, 0},
		"-helpsteer":                            {0, -1, 0, 0, 0},
		"0.7*0+0.3*1":                           {0.7, 0.3, 0, 0, 0},
		"1+1+two words":                         {0, 2, 0, 0, 1},
		"- .5*3":                                {0, 0, 0, -0.5, 0},
	} {
		for _, more := range []map[string]any{nil, normalized} {
			for k, x := range labelled(column, more).read(t, device) {
				sum := 0.0
				for i, w := range want {
					sum += w * alone[i][k]
				}
				if more != nil {
					sum = (sum - 0.5) / 4
				}
				if !(math.Abs(x-sum) <= 1e-5) {
					t.Errorf("column %q: reward %d is %v, want %v", column, k, x, sum)
				}
			}
		}
	}
	const list = "has 5 labels (0 helpsteer-helpfulness, 1 helpsteer, 2 a + b, 3 7, 4 two words): "
	for column, want := range map[string]string{
		"": list +
			`say which is the reward, such as -column "two words" or -column "0.5*helpsteer-helpfulness + 0.5*helpsteer"`,
		"-1":                   `column -1: labels are counted from 0 up`,
		"5":                    list + `column "5": "5" is no label`,
		"7":                    `"7" is no label`, // an integer is an index, whatever the names are
		"helpful":              `"helpful" is no label: want an index, a name or a weighted sum, such as`,
		"0.5":                  `"0.5" is no label`,
		"0 1":                  `want + or - before "1"`,
		"0*":                   `want a label before ""`,
		"0 +":                  `want a label before ""`,
		"0*0":                  "all weights are 0",
		"helpsteer-1":          "all weights are 0",
		"2*3*4":                `want + or - before "*4"`,
		"nan*0":                `"nan" is no label`,
		"helpsteer-*two words": `want a label before "*two words"`,
	} {
		m, err := reward.Open(device, labelled(column, nil).write(t),
			reward.Options{NoTokenizer: true, Column: column})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("column %q: %v\nwant it to contain %q", column, err, want)
		}
	}
}

// TestColumnsOfMLP: the labels are the outputs of the last layer.
func TestColumnsOfMLP(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	mlp := func(column string) []float64 {
		return layout{map[string]any{"id2label": map[string]string{"0": "a", "1": "b", "2": "c"}},
			map[string][]weights.Array{"model.safetensors": {
				array("score.0.weight", slices.Concat(row(1), row(2)), 2, hidden),
				array("score.0.bias", []float32{0.5, -0.25}, 2),
				array("score.2.weight", []float32{1, -1, 2, 0.5, 0.25, 3}, 3, 2), array("score.2.bias",
					[]float32{1, 2, 3}, 3),
			}}, column}.read(t, device)
	}
	a, b, c := mlp("a"), mlp("1"), mlp("c")
	for k, x := range mlp("0.5*a - b + 2*c") {
		if want := 0.5*a[k] - b[k] + 2*c[k]; a[k] == b[k] || !(math.Abs(x-want) <= 1e-4) {
			t.Errorf("reward %d is %v, want %v", k, x, want)
		}
	}
}

// TestColumnIsSaved: what is saved has the one reward that was asked for, and needs no column.
func TestColumnIsSaved(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	l := labelled("0.7*0 - 0.3*two words", nil)
	want := l.read(t, device)
	m, err := reward.Open(device, l.write(t), reward.Options{NoTokenizer: true, Column: l.column})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	dir := filepath.Join(t.TempDir(), "saved")
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got := readScores(t, device, dir); !slices.Equal(got, want) {
		t.Errorf("opened again %v, want %v", got, want)
	}
	config := readJSON(t, filepath.Join(dir, "config.json"))
	if labels := config["id2label"].(map[string]any); len(labels) != 1 || labels["0"] != "LABEL_0" {
		t.Errorf("labels %v", labels)
	}
}

// TestInspectLabels: inspect lists them without a column.
func TestInspectLabels(t *testing.T) {
	in, err := reward.Inspect(labelled("", nil).write(t), reward.ChatOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if in.ScoreHead.Kind != "labels" || in.ScoreHead.Labels != 5 ||
		!slices.Equal(in.ScoreHead.LabelNames, attributes) {
		t.Errorf("%+v", in.ScoreHead)
	}
	if !slices.ContainsFunc(in.Warnings, func(w string) bool {
		return strings.Contains(w, "its head has 5 labels: say which is the reward")
	}) {
		t.Errorf("warnings %q", in.Warnings)
	}
}
