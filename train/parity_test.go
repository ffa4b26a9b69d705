package train_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/mesh"
	"haf/optim"
	"haf/pack"
	"haf/pref"
	"haf/reward"
	"haf/train"
	"haf/weights"
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

// parityCase is a stored case opened: the model with its stored score head, and the packed batch of
// its pairs.
type parityCase struct {
	dir    string
	want   expected
	stored *weights.Tensors
	model  *reward.Model
	groups []encode.Group
	batch  *pack.Batch
	refs   [][]float64
}

const parityPositions = 512

func openCase(t *testing.T, device *backend.Device, dir string) *parityCase {
	t.Helper()
	c := &parityCase{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "expected.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &c.want); err != nil {
		t.Fatal(err)
	}
	if c.stored, err = weights.OpenFile(filepath.Join(dir, "expected.safetensors")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.stored.Close() })
	_, notAdapter := os.Stat(filepath.Join(dir, "adapter_config.json"))
	opt := reward.Options{
		NoTokenizer: true, Train: notAdapter != nil, Positions: parityPositions, LogitChunk: 32,
	}
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
		c.groups = append(c.groups, encode.Group{
			Prompt: p.Prompt, Index: i, Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}},
			Responses: []encode.Response{encode.Answer(p.Chosen), encode.Answer(p.Rejected)},
		})
		c.refs = append(c.refs, []float64{c.want.RefChosenLogps[i], c.want.RefRejectedLogps[i]})
	}
	packing, err := pack.New(c.groups, pack.Options{Positions: parityPositions})
	if err != nil {
		t.Fatal(err)
	}
	if len(packing.Batches) != 1 {
		t.Fatalf("%d packed batches, want one: %s", len(packing.Batches), packing)
	}
	c.batch = packing.Batch(0)
	return c
}

// optimizer is the one of the stored step, where there is one.
func (c *parityCase) optimizer() optim.AdamW {
	a := c.want.After
	if a == nil {
		return optim.AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, Schedule: "constant"}
	}
	return optim.AdamW{
		LR: a.LR, Beta1: a.Betas[0], Beta2: a.Betas[1], Eps: a.Eps, WeightDecay: a.WeightDecay,
		DecayNorms: true, Clip: a.MaxGradNorm, Schedule: "constant",
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) float64 {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.8g, PyTorch has %.8g (difference %.2g, allowed %.2g)", what, got, want,
			got-want, tolerance)
	}
	return math.Abs(got - want)
}

var recomputes = []lm.Recompute{lm.RecomputeNone, lm.RecomputeSelective, lm.RecomputeFull}

// TestParity compares heads, losses, gradients and one optimizer step with the stored values of
// every case, on the packed and prompt-shared batch, by every activation checkpointing. An adapter
// is also run on the fastest device, by one of them: make parity compiles them all.
func TestParity(t *testing.T) {
	for _, dir := range shared.Cases(t) {
		name := filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir))
		device := shared.CaseDevice(dir)
		if device == "auto" && os.Getenv("HAF_DEVICE") == "" && filepath.Base(dir) == "adapter" {
			t.Run(name+"-auto", func(t *testing.T) { testParity(t, dir, device, recomputes[1:2]) })
			device = "go"
		}
		t.Run(name, func(t *testing.T) { testParity(t, dir, device, recomputes) })
	}
}

// testParity compares one case. Its model is opened once, so that the programs of the forward pass,
// which checkpointing does not change, are compiled once. So are those of the optimizer, which the
// device keeps.
func testParity(t *testing.T, dir, name string, recomputes []lm.Recompute) {
	device := openDevice(t, name)
	device.KeepPrograms()
	c := openCase(t, device, dir)
	c.compareHeads(t)
	c.compareReference(t)
	opened := weightsOf(t, c.model)
	for _, recompute := range recomputes {
		t.Run("checkpointing-"+string(recompute), func(t *testing.T) {
			c.model.SetRecompute(recompute)
			c.compareStep(t)
		})
		for i, p := range c.model.Params() {
			if err := c.model.Set(p, opened[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// weightsOf are the values of the model's weights.
func weightsOf(t *testing.T, model *reward.Model) (out []weights.Array) {
	t.Helper()
	for _, p := range model.Params() {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func (c *parityCase) compareHeads(t *testing.T) {
	t.Helper()
	both := reward.ScoreHead | reward.PolicyHead
	heads, err := c.model.Read(t.Context(), c.groups, both, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.groups {
		near(t, "chosen score", heads.Scores[i][0], c.want.ChosenScores[i], 1e-4)
		near(t, "rejected score", heads.Scores[i][1], c.want.RejectedScores[i], 1e-4)
		near(t, "chosen logp", heads.LogProbs[i][0], c.want.ChosenLogps[i], 1e-4)
		near(t, "rejected logp", heads.LogProbs[i][1], c.want.RejectedLogps[i], 1e-4)
	}
}

// compareStep compares losses and gradients, and the losses after one optimizer step.
func (c *parityCase) compareStep(t *testing.T) {
	t.Helper()
	stepper := train.NewStepper(c.model, hybrid(1, c.want.Alpha, c.want.Beta), c.optimizer(), 1)
	defer stepper.Close()
	m, gradients, err := stepper.Gradients(c.batch, c.refs, 1)
	if err != nil {
		t.Fatal(err)
	}
	loss := max(near(t, "loss", m.Loss, c.want.Loss, 1e-5),
		near(t, "reward loss", m.RewardLoss, c.want.RewardLoss, 1e-5),
		near(t, "policy loss", m.PolicyLoss, c.want.PolicyLoss, 1e-5))
	mean := func(logps, refs []float64) (sum float64) {
		for i := range logps {
			sum += (logps[i] - refs[i]) / float64(len(logps))
		}
		return sum
	}
	if ratio := m.LogRatio(); ratio == nil {
		t.Error("no log-ratio, though DPO has a reference")
	} else {
		near(t, "chosen log-ratio", ratio.Chosen, mean(c.want.ChosenLogps, c.want.RefChosenLogps), 1e-4)
		near(t, "rejected log-ratio", ratio.Rejected,
			mean(c.want.RejectedLogps, c.want.RefRejectedLogps), 1e-4)
	}
	near(t, "norm of all gradients", m.GradNorm, c.want.GradNorm, 1e-4*c.want.GradNorm)
	var gradient float64
	for i, p := range stepper.Optimizer().Params() {
		gradient = max(gradient, compareGradient(t, c.stored, p, gradients[i]))
	}
	t.Logf("losses: largest difference %.1e; gradients: largest relative difference %.1e",
		loss, gradient)
	if c.want.After == nil {
		return
	}
	if err := stepper.Optimizer().Apply(gradients, c.want.After.LR, m.GradNorm, 1); err != nil {
		t.Fatal(err)
	}
	if m, gradients, err = stepper.Gradients(c.batch, c.refs, 1); err != nil {
		t.Fatal(err)
	}
	t.Logf("losses after one step: largest difference %.1e", max(
		near(t, "loss after one step", m.Loss, c.want.After.Loss, 1e-5),
		near(t, "reward loss after one step", m.RewardLoss, c.want.After.RewardLoss, 1e-5),
		near(t, "policy loss after one step", m.PolicyLoss, c.want.After.PolicyLoss, 1e-5)))
	if err := optim.Free(gradients); err != nil {
		t.Error(err)
	}
}

// compareGradient compares a whole gradient by the norm of its difference, relative to the stored
// one's.
func compareGradient(
	t *testing.T, stored *weights.Tensors, p *reward.Param, gradient *mesh.Array,
) float64 {
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
	got, err := gradient.Floats()
	if err != nil {
		t.Fatal(err)
	}
	var difference, norm float64
	for i := range got {
		difference += math.Pow(float64(got[i])-float64(want.Data[i]), 2)
		norm += math.Pow(float64(want.Data[i]), 2)
	}
	if !(math.Sqrt(difference) <= 1e-4*math.Sqrt(norm)) {
		t.Errorf("%s: relative difference %.2g, at most 1e-4 is allowed", name,
			math.Sqrt(difference/norm))
	}
	return math.Sqrt(difference / max(norm, 1e-30))
}

// compareReference compares the log-probabilities of the frozen model: those of the folder
// reference/, or of an adapter's base.
func (c *parityCase) compareReference(t *testing.T) {
	t.Helper()
	model := c.model
	if model.Adapter() == nil {
		var err error
		model, err = reward.Open(model.Device(), filepath.Join(c.dir, "reference"), reward.Options{
			NoTokenizer: true, Positions: parityPositions, LogitChunk: 32,
		})
		if err != nil {
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
		t.Errorf("%d log-probabilities were made, want %d", made, 2*len(c.groups))
	}
	for i := range c.groups {
		near(t, "reference chosen logp", logps[i][0], c.want.RefChosenLogps[i], 1e-4)
		near(t, "reference rejected logp", logps[i][1], c.want.RefRejectedLogps[i], 1e-4)
	}
}
