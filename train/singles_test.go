package train_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/encode"
	"haf/lm"
	"haf/mesh"
	"haf/objective"
	"haf/optim"
	"haf/pack"
	"haf/pref"
	"haf/reward"
	"haf/train"
	"haf/weights"
)

// storedSingles is testdata/singles.json, made by singles.py.
type storedSingles struct {
	Labelled struct {
		Alpha, Beta       float64
		DesirableWeight   float64 `json:"desirable_weight"`
		UndesirableWeight float64 `json:"undesirable_weight"`
		Rows              []struct {
			Prompt, Response, Other []int32
			Label                   bool
			Logps, Refs             []float64
		}
		RewardLoss float64 `json:"reward_loss"`
		PolicyLoss float64 `json:"policy_loss"`
		Loss, KL   float64
		GradNorm   float64 `json:"grad_norm"`
		Gradients  map[string][2]float64
	}
	Graded struct {
		Attributes    []string
		Head, Outputs [][]float64
		Grades        [][]*float64 // null is not stated
		Loss          float64
		GradNorm      float64 `json:"grad_norm"`
		Gradients     map[string][2]float64
	}
}

func readSingles(t *testing.T) (s storedSingles) {
	t.Helper()
	data, err := os.ReadFile("testdata/singles.json")
	if err == nil {
		err = json.Unmarshal(data, &s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// groups are the stored rows, labelled.
func (s storedSingles) groups() (out []encode.Group) {
	for i, row := range s.Labelled.Rows {
		out = append(out, encode.Group{Prompt: row.Prompt, Index: i, Labels: []bool{row.Label},
			Responses: []encode.Response{encode.Answer(row.Response)}})
	}
	return out
}

// onePacked packs groups into one batch.
func onePacked(t *testing.T, groups []encode.Group) *pack.Batch {
	t.Helper()
	packing, err := pack.New(groups, pack.Options{Positions: parityPositions})
	if err != nil {
		t.Fatal(err)
	}
	if len(packing.Batches) != 1 {
		t.Fatalf("%d packed batches, want one: %s", len(packing.Batches), packing)
	}
	return packing.Batch(0)
}

// openSmall opens the stored model with the score head's weights.
func openSmall(t *testing.T, labels []string, head []float32) *reward.Model {
	t.Helper()
	model, err := reward.Open(openDevice(t, "go"), smallFolder(), reward.Options{NoTokenizer: true,
		Train: true, Positions: parityPositions, LogitChunk: 32, Head: reward.HeadInit{Labels: labels}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Close)
	for _, p := range model.Params() {
		if p.Name == lm.ScoreName {
			if err := model.Set(p, weights.Array{Name: p.Name, Shape: p.Shape, Data: head}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return model
}

// compareGradients compares the norm of every gradient, and its product with the weight.
func compareGradients(
	t *testing.T, s *train.Stepper, gradients []*mesh.Array, want map[string][2]float64,
) {
	t.Helper()
	compared := 0
	for i, p := range s.Optimizer().Params() {
		stored, ok := want[p.Name]
		if !ok {
			t.Errorf("no gradient of %s is stored", p.Name)
			continue
		}
		compared++
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		var squares, product, size float64
		flat, err := gradients[i].Floats()
		if err != nil {
			t.Fatal(err)
		}
		for k, g := range flat {
			squares += float64(g) * float64(g)
			product += float64(g) * float64(a.Data[k])
			size += float64(a.Data[k]) * float64(a.Data[k])
		}
		near(t, "norm of the gradient of "+p.Name, math.Sqrt(squares), stored[0], 1e-4*stored[0])
		near(t, "product of "+p.Name+" and its gradient", product, stored[1],
			1e-4*stored[0]*math.Sqrt(size))
	}
	if compared != len(want) {
		t.Errorf("%d gradients, %d are stored", compared, len(want))
	}
}

// TestLabelledParity compares the loss of one batch of labelled responses with TRL's KTOTrainer and
// torch's binary cross-entropy: the responses to other prompts, the KL, losses and gradients.
func TestLabelledParity(t *testing.T) {
	s := readSingles(t)
	want := s.Labelled
	groups := s.groups()
	if err := encode.AddOthers(groups, 0); err != nil {
		t.Fatal(err)
	}
	var refs [][]float64
	for i, row := range want.Rows {
		if !slices.Equal(groups[i].Responses[1].Tokens, row.Other) {
			t.Fatalf("row %d has the other response %v, TRL has %v", i, groups[i].Responses[1].Tokens,
				row.Other)
		}
		refs = append(refs, row.Refs)
	}
	model := openSmall(t, nil, storedScore(t))
	heads, err := model.Read(t.Context(), groups, reward.PolicyHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, row := range want.Rows {
		near(t, "logp", heads.LogProbs[i][0], row.Logps[0], 1e-4)
		near(t, "logp of the other", heads.LogProbs[i][1], row.Logps[1], 1e-4)
	}
	h := hybrid(1, want.Alpha, want.Beta)
	h.Reward, h.Policy = "bce", "kto"
	h.DesirableWeight, h.UndesirableWeight = want.DesirableWeight, want.UndesirableWeight
	stepper := train.NewStepper(model, h, parityAdamW, 1)
	defer stepper.Close()
	stepper.Over(groups, nil)
	m, gradients, err := stepper.Gradients(onePacked(t, groups), refs, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "loss", m.Loss, want.Loss, 1e-5)
	near(t, "reward loss", m.RewardLoss, want.RewardLoss, 1e-5)
	near(t, "policy loss", m.PolicyLoss, want.PolicyLoss, 1e-5)
	near(t, "KL", m.Labels().KL, want.KL, 1e-4)
	near(t, "norm of all gradients", m.GradNorm, want.GradNorm, 1e-4*want.GradNorm)
	compareGradients(t, stepper, gradients, want.Gradients)
	if l := m.Labels(); l.Desirable != 4 || l.Undesirable != 2 || l.RewardLoss != m.RewardLoss ||
		l.PolicyLoss != m.PolicyLoss {
		t.Errorf("labels %+v", l)
	}
}

var parityAdamW = optim.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1,
	Schedule: "constant"}

// storedScore is the score head of the stored case.
func storedScore(t *testing.T) []float32 {
	t.Helper()
	file, err := weights.OpenFile(filepath.Join(smallFolder(), "expected.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	a, err := file.Read(lm.ScoreName)
	if err != nil {
		t.Fatal(err)
	}
	return a.Data
}

// TestGradedParity compares outputs, loss and gradients of a head with an output for each attribute
// with torch's. Some attributes are not stated, and the last row has none.
func TestGradedParity(t *testing.T) {
	s := readSingles(t)
	want := s.Graded
	groups := s.groups()
	for i := range groups {
		g := &groups[i]
		g.Labels, g.Grades = nil, map[string][]float64{}
		for a, name := range want.Attributes {
			if y := want.Grades[i][a]; y != nil {
				g.Grades[name] = []float64{*y}
			}
		}
	}
	var head []float32
	for _, row := range want.Head {
		for _, x := range row {
			head = append(head, float32(x))
		}
	}
	model := openSmall(t, want.Attributes, head)
	heads, err := model.Read(t.Context(), groups, reward.ScoreHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range groups {
		for a := range want.Attributes {
			near(t, "output", heads.Outputs[i][0][a], want.Outputs[i][a], 1e-4)
		}
	}
	h := hybrid(1, 0, 0.1)
	h.Reward = objective.Regression
	stepper := train.NewStepper(model, h, parityAdamW, 1)
	defer stepper.Close()
	stepper.Over(groups, want.Attributes)
	m, gradients, err := stepper.Gradients(onePacked(t, groups), nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "loss", m.Loss, want.Loss, 1e-5*want.Loss)
	near(t, "norm of all gradients", m.GradNorm, want.GradNorm, 1e-4*want.GradNorm)
	compareGradients(t, stepper, gradients, want.Gradients)
}

// labelledData turns the pairs into labelled responses: the first of each is desirable. With mixed,
// every third group stays as it is.
func labelledData(mixed bool) func(*train.Data) {
	return func(d *train.Data) {
		d.Train, _ = singly(d.Train, nil, mixed)
		d.Valid, d.ValidGroups = singly(d.Valid, d.ValidGroups, mixed)
		for _, groups := range [][]encode.Group{d.Train, d.Valid} {
			if err := encode.AddOthers(groups, 0); err != nil {
				panic(err)
			}
		}
	}
}

func singly(
	groups []encode.Group, texts []pref.Group, mixed bool,
) (out []encode.Group, outTexts []pref.Group) {
	for i, g := range groups {
		if mixed && i%3 == 0 {
			out = append(out, g)
			if texts != nil {
				outTexts = append(outTexts, texts[i])
			}
			continue
		}
		for k, r := range g.Responses[:2] {
			out = append(out, encode.Group{Prompt: g.Prompt, Responses: []encode.Response{r},
				Labels: []bool{k == 0}, Index: len(out), Source: g.Source})
			if texts != nil {
				outTexts = append(outTexts, pref.Group{Source: g.Source, Labels: []bool{k == 0},
					Responses: texts[i].Responses[k : k+1], Prompt: []pref.Message{{Content: fmt.Sprint(i)}}})
			}
		}
	}
	return out, outTexts
}

// gradedData grades the responses: the first of a group by 4, 3 and so on, and by its number of
// tokens where the group is even.
func gradedData(d *train.Data) {
	for _, groups := range [][]encode.Group{d.Train, d.Valid} {
		for i := range groups {
			g := &groups[i]
			quality, length := []float64{}, []float64{}
			for k, r := range g.Responses {
				quality, length = append(quality, 4-float64(k)), append(length, float64(len(r.Tokens))/10)
			}
			g.Grades = map[string][]float64{"quality": quality}
			if i%2 == 0 {
				g.Grades["length"] = length
			}
		}
	}
}

// TestSingleObjectives trains on labelled responses, alone and beside pairs, and on graded ones:
// the first loss is as it must be, the loss falls, the records say what was learned, and a run that
// was stopped resumes to the same bits.
func TestSingleObjectives(t *testing.T) {
	for name, c := range map[string]struct {
		data           func(*train.Data)
		reward, policy string
		attributes     []string
	}{
		"labels": {labelledData(false), "bce", "kto", nil},
		"mixed":  {labelledData(true), "bradley-terry + bce", "0.5 dpo + apo-zero + 0.5 kto", nil},
		"graded": {gradedData, objective.Regression, "dpo", []string{"quality", "length"}},
		"one":    {gradedData, objective.Regression, "dpo", []string{"quality"}},
	} {
		t.Run(name, func(t *testing.T) {
			var log []string
			s := small{lora: true, data: c.data, lines: &log, options: func(o *train.Options) {
				o.Objective.Reward, o.Objective.Policy, o.Attributes = c.reward, c.policy, c.attributes
				o.Epochs, o.EvalEvery, o.CheckpointEvery = 6, 6, 6
			}, model: func(o *reward.Options) { o.Head.Labels = c.attributes }}
			_, dir, err := s.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			asItMust := func(line string) bool { return strings.Contains(line, "as it must be") }
			if !slices.ContainsFunc(log, asItMust) {
				t.Errorf("the first loss was not as it must be: %q", log)
			}
			r := records(t, dir)
			first, last := r.Validations[0], r.Validations[len(r.Validations)-1]
			step := r.Steps[len(r.Steps)-1]
			if !(step.Loss < 0.9*r.Steps[0].Loss) {
				t.Errorf("loss %v at first, %v at the end", r.Steps[0].Loss, step.Loss)
			}
			switch labelled := step.Labels.Desirable + step.Labels.Undesirable; {
			case c.attributes != nil:
				q := last.Attributes["quality"]
				if labelled != 0 || step.Graded == 0 || !(q.RMSE < first.Attributes["quality"].RMSE) ||
					last.Attributes["length"].Responses >= q.Responses {
					t.Errorf("%+v and %+v", step, last.Attributes)
				}
			case labelled == 0 || !(step.Labels.RewardLoss > 0) || !(step.Labels.PolicyLoss > 0) ||
				!(step.Labels.Accuracy > 0.7):
				t.Errorf("step %+v", step)
			default:
				for _, by := range []string{reward.ByScore, reward.ByImplicit} {
					if l := last.Labels[by]; l.Responses == 0 || l.AUC == 0 {
						t.Errorf("%s: %+v", by, l)
					}
				}
				if name == "mixed" && (step.Comparisons == 0 || len(last.Rewards) != 2 ||
					math.Abs(step.Labels.RewardLoss-step.RewardLoss) < 1e-6) {
					t.Errorf("step %+v, rewards %+v", step, last.Rewards)
				}
			}
			stopped := s.stopped(t, 8)
			if err := s.resume(t, stopped); err != nil {
				t.Fatal(err)
			}
			sameRun(t, dir, stopped, "adapter_model.safetensors", reward.MetaName)
		})
	}
}

// TestMismatchedData refuses objectives that read what the data does not have, and data that the
// objective does not read.
func TestMismatchedData(t *testing.T) {
	pairs := func(*train.Data) {}
	for want, c := range map[string]struct {
		data           func(*train.Data)
		reward, policy string
		attributes     []string
	}{
		`read labelled responses, but the data has none: give rows {prompt, completion, label}`: {pairs,
			"bce", "kto", nil},
		`"bradley-terry" and policy "dpo" read comparisons, but the data has none: for labelled responses ` +
			`set objective.reward = "bce" and objective.policy = "kto"`: {labelledData(false),
			"bradley-terry", "dpo", nil},
		`responses of the data are labelled, but reward "bradley-terry" and policy "dpo" read no labels`: {labelledData(true), "bradley-terry", "dpo", nil},
		`comparisons, but reward "bce" and policy "kto" read none: add a loss of comparisons`:            {labelledData(true), "bce", "kto", nil},
		`reads attributes, but none is named: set data.attributes`:                                       {gradedData, "regression", "dpo", nil},
		`reads the attribute taste, but no response left to train on states it`:                          {gradedData, "regression", "dpo", []string{"taste"}},
		`reads the attribute smell, but no response left to train on states it`:                          {gradedData, "regression", "dpo", []string{"quality", "smell"}},
		`data.attributes names quality, but reward "bradley-terry" does not read them`:                   {gradedData, "bradley-terry", "dpo", []string{"quality"}},
		`estimates the KL from responses to other prompts, which the groups do not have`: {func(d *train.Data) {
			labelledData(false)(d)
			for i := range d.Train {
				d.Train[i].Responses, d.Train[i].Others = d.Train[i].Responses[:1], 0
			}
		}, "bce", "kto", nil},
	} {
		_, _, err := small{lora: true, data: c.data, options: func(o *train.Options) {
			o.Objective.Reward, o.Objective.Policy, o.Attributes = c.reward, c.policy, c.attributes
		}}.fresh(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
