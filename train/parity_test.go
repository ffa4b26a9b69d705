package train

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/objective"
	"haf/pref"
	"haf/reward"
)

// expected is a stored case: token ids, and what PyTorch made of them.
type expected struct {
	Alpha, Beta float64
	Pairs       []struct{ Prompt, Chosen, Rejected []int32 }

	ChosenScores     []float64 `json:"chosen_scores"`
	RejectedScores   []float64 `json:"rejected_scores"`
	ChosenLogps      []float64 `json:"chosen_logps"`
	RejectedLogps    []float64 `json:"rejected_logps"`
	RefChosenLogps   []float64 `json:"ref_chosen_logps"`
	RefRejectedLogps []float64 `json:"ref_rejected_logps"`
	RewardLoss       float64   `json:"reward_loss"`
	PolicyLoss       float64   `json:"policy_loss"`
	Loss             float64   `json:"loss"`
	GradNorm         float64   `json:"grad_norm"`
	After            *struct {
		LR          float64    `json:"lr"`
		Betas       [2]float64 `json:"betas"`
		Eps         float64    `json:"eps"`
		WeightDecay float64    `json:"weight_decay"`
		MaxGradNorm float64    `json:"max_grad_norm"`
		RewardLoss  float64    `json:"reward_loss"`
		PolicyLoss  float64    `json:"policy_loss"`
		Loss        float64    `json:"loss"`
	} `json:"after_one_adamw_step"`
}

// parityCase is a stored case opened: the model with its stored score head, and the packed batch of its pairs.
type parityCase struct {
	want    expected
	stored  *lm.Checkpoint
	model   *reward.Model
	stepper *stepper
	groups  []encode.Group
	batch   *encode.Batch
	refs    [][]float64
}

func openCase(t *testing.T, device *backend.Device, dir string, positions int, checkpointing lm.Checkpointing) *parityCase {
	t.Helper()
	c := &parityCase{}
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c.want); err != nil {
		t.Fatal(err)
	}
	if c.stored, err = lm.OpenSafetensors(filepath.Join(dir, "expected.safetensors")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stored.Close() })
	_, notAdapter := os.Stat(filepath.Join(dir, "adapter_config.json"))
	opt := reward.Options{NoTokenizer: true, Train: notAdapter != nil, Positions: positions, LogitChunk: 32, Checkpointing: checkpointing}
	if c.model, err = reward.Open(device, dir, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.model.Close)
	score, err := c.stored.ReadShape(lm.ScoreName, 1, c.model.Config.Hidden)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range c.model.Params() {
		if p.Name == lm.ScoreName {
			if err := c.model.Set(p, score); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, p := range c.want.Pairs {
		c.groups = append(c.groups, encode.Group{Prompt: p.Prompt, Responses: []encode.Response{encode.Answer(p.Chosen), encode.Answer(p.Rejected)}, Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}}, Index: i})
		c.refs = append(c.refs, []float64{c.want.RefChosenLogps[i], c.want.RefRejectedLogps[i]})
	}
	plan, err := encode.NewPlan(c.groups, encode.PlanOptions{Positions: positions})
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Batches) != 1 {
		t.Fatalf("%d packed batches, one was expected: %s", len(plan.Batches), plan)
	}
	c.batch = plan.Batch(0)
	optimizer := AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, Schedule: "constant"}
	if a := c.want.After; a != nil {
		optimizer = AdamW{LR: a.LR, Beta1: a.Betas[0], Beta2: a.Betas[1], Eps: a.Eps, WeightDecay: a.WeightDecay, DecayNorms: true, Clip: a.MaxGradNorm, Schedule: "constant"}
	}
	c.stepper = newStepper(c.model, hybrid(1, c.want.Alpha, c.want.Beta), optimizer, 1)
	t.Cleanup(c.stepper.close)
	return c
}

// hybrid is the paper's objective with other weights.
func hybrid(w, alpha, beta float64) objective.Hybrid {
	h := objective.Default()
	h.RewardWeight, h.PolicyWeight, h.Beta = w, alpha, beta
	return h
}

func near(t *testing.T, what string, got, want, tolerance float64) float64 {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.8g, PyTorch has %.8g (difference %.2g, allowed %.2g)", what, got, want, got-want, tolerance)
	}
	return math.Abs(got - want)
}

// TestParity compares heads, losses, gradients and one optimizer step with the stored values of every case, on
// the packed and prompt-shared batch.
func TestParity(t *testing.T) {
	for _, dir := range shared.Cases(t) {
		device, err := backend.Open(shared.CaseDevice(dir))
		if err != nil {
			t.Fatal(err)
		}
		for _, checkpointing := range []lm.Checkpointing{lm.CheckpointNone, lm.CheckpointSelective, lm.CheckpointFull} {
			name := filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
			name += "/checkpointing-" + string(checkpointing)
			t.Run(name, func(t *testing.T) { testParity(t, openCase(t, device, dir, 512, checkpointing), dir) })
		}
	}
}

func testParity(t *testing.T, c *parityCase, dir string) {
	heads, err := c.model.Read(t.Context(), c.groups, reward.ScoreHead|reward.PolicyHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.groups {
		near(t, "chosen score", heads.Scores[i][0], c.want.ChosenScores[i], 1e-4)
		near(t, "rejected score", heads.Scores[i][1], c.want.RejectedScores[i], 1e-4)
		near(t, "chosen logp", heads.LogProbs[i][0], c.want.ChosenLogps[i], 1e-4)
		near(t, "rejected logp", heads.LogProbs[i][1], c.want.RejectedLogps[i], 1e-4)
	}
	checkReference(t, c, dir)

	ms := c.stepper.begin([]*encode.Batch{c.batch}, 1)
	gradients, squares, err := c.stepper.gradients(c.batch, c.refs, &ms)
	if err != nil {
		t.Fatal(err)
	}
	loss := max(near(t, "loss", ms.losses[0], c.want.Loss, 1e-5), near(t, "reward loss", ms.losses[1], c.want.RewardLoss, 1e-5),
		near(t, "policy loss", ms.losses[2], c.want.PolicyLoss, 1e-5))
	near(t, "norm of all gradients", math.Sqrt(squares), c.want.GradNorm, 1e-4*c.want.GradNorm)
	var gradient float64
	for i, p := range c.stepper.params {
		gradient = max(gradient, compareGradient(t, c.stored, p, gradients[i]))
	}
	t.Logf("losses: largest difference %.1e; gradients: largest relative difference %.1e", loss, gradient)
	if c.want.After == nil {
		return
	}
	if err := c.stepper.Apply(gradients, c.want.After.LR, math.Sqrt(squares), 1); err != nil {
		t.Fatal(err)
	}
	after := c.stepper.begin([]*encode.Batch{c.batch}, 1)
	if _, _, err := c.stepper.gradients(c.batch, c.refs, &after); err != nil {
		t.Fatal(err)
	}
	t.Logf("losses after one step: largest difference %.1e", max(
		near(t, "loss after one step", after.losses[0], c.want.After.Loss, 1e-5),
		near(t, "reward loss after one step", after.losses[1], c.want.After.RewardLoss, 1e-5),
		near(t, "policy loss after one step", after.losses[2], c.want.After.PolicyLoss, 1e-5)))
}

// compareGradient compares a whole gradient by the norm of its difference, relative to the stored one's.
func compareGradient(t *testing.T, stored *lm.Checkpoint, p *reward.Param, gradient *tensors.Tensor) float64 {
	t.Helper()
	name := "grad." + p.Name
	if strings.HasSuffix(p.Name, lm.LoraA) || strings.HasSuffix(p.Name, lm.LoraB) {
		name = "grad.base_model.model." + strings.TrimSuffix(p.Name, "weight") + "default.weight"
	}
	if _, ok := stored.Info(name); !ok {
		name = strings.Replace(name, "embed_out", "lm_head", 1) // what transformers 5 calls it in memory
	}
	want, err := stored.ReadShape(name, p.Shape...)
	if err != nil {
		t.Error(err)
		return math.NaN()
	}
	got := tensors.MustCopyFlatData[float32](gradient)
	var difference, norm float64
	for i := range got {
		difference += math.Pow(float64(got[i])-float64(want.Data[i]), 2)
		norm += math.Pow(float64(want.Data[i]), 2)
	}
	if !(math.Sqrt(difference) <= 1e-4*math.Sqrt(norm)) {
		t.Errorf("%s: relative difference %.2g, at most 1e-4 is allowed", name, math.Sqrt(difference/norm))
	}
	return math.Sqrt(difference / max(norm, 1e-30))
}

// checkReference compares the log-probabilities of the frozen model: the folder reference/, or an adapter's base.
func checkReference(t *testing.T, c *parityCase, dir string) {
	t.Helper()
	model := c.model
	if model.Adapter() == nil {
		var err error
		if model, err = reward.Open(model.Device(), filepath.Join(dir, "reference"), reward.Options{NoTokenizer: true, Positions: 512, LogitChunk: 32}); err != nil {
			t.Fatal(err)
		}
		defer model.Close()
	}
	reference, err := model.Reference("")
	if err != nil {
		t.Fatal(err)
	}
	logps, made, err := reference.LogProbs(t.Context(), c.groups, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if made != 2*len(c.groups) {
		t.Errorf("%d log-probabilities were made, %d were expected", made, 2*len(c.groups))
	}
	for i := range c.groups {
		near(t, "reference chosen logp", logps[i][0], c.want.RefChosenLogps[i], 1e-4)
		near(t, "reference rejected logp", logps[i][1], c.want.RefRejectedLogps[i], 1e-4)
	}
}
