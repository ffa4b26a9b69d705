package optim

import (
	"math"
	"strings"
	"testing"

	"haf/lm"
)

func TestRate(t *testing.T) {
	o := AdamW{LR: 1, Warmup: 0.2}
	for _, c := range []struct {
		schedule    string
		step, total int
		want        float64
	}{
		{"constant", 0, 10, 1.0 / 3}, {"constant", 1, 10, 2.0 / 3}, {"constant", 2, 10, 1},
		{"constant", 9, 10, 1},
		{"linear", 1, 10, 2.0 / 3}, {"linear", 2, 10, 1}, {"linear", 6, 10, 0.5},
		{"linear", 9, 10, 0.125},
		{"cosine", 2, 10, 1}, {"cosine", 6, 10, 0.5}, {"cosine", 9, 10, 0.5 * (1 - math.Cos(math.Pi/8))},
		{"linear", 0, 1, 1},
	} {
		o.Schedule = c.schedule
		if got := o.Rate(c.step, c.total); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s, step %d of %d: %v, want %v", c.schedule, c.step, c.total, got, c.want)
		}
	}
}

func TestClipAndDecay(t *testing.T) {
	o := AdamW{Clip: 1}
	if got := o.clipFactor(0.5); got != 1 {
		t.Errorf("a norm below the limit is multiplied by %v", got)
	}
	if got := o.clipFactor(4); math.Abs(got-1/(4+1e-6)) > 1e-15 {
		t.Errorf("clip factor of 4 is %v", got)
	}
	if got := (AdamW{}).clipFactor(1e9); got != 1 {
		t.Errorf("without a limit the factor is %v", got)
	}
	for name, want := range map[string]bool{
		"model.layers.0.mlp.up_proj.weight": true, "model.layers.0.input_layernorm.weight": false,
		"model.norm.weight":                    false,
		"model.layers.0.self_attn.q_proj.bias": false, "score.weight": true,
		"model.layers.0.mlp.up_proj.lora_A.weight": true,
		"transformer.h.0.ln_1.weight":              false, "transformer.wpe.weight": true,
	} {
		p := lm.Param{Name: name, Shape: []int{4}}
		if want {
			p.Shape = []int{4, 4}
		}
		if o.decays(p) != want {
			t.Errorf("%s is decayed: %v", name, !want)
		}
		if !(AdamW{DecayNorms: true}).decays(p) {
			t.Errorf("%s is not decayed although norms are", name)
		}
	}
}

func TestCheckOptimizer(t *testing.T) {
	good := AdamW{LR: 1e-3, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Schedule: "linear"}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*AdamW){
		"learning rate is NaN": func(o *AdamW) { o.LR = math.NaN() },
		"betas are 1 and":      func(o *AdamW) { o.Beta1 = 1 },
		"eps is 0":             func(o *AdamW) { o.Eps = 0 },
		"weight decay is -1":   func(o *AdamW) { o.WeightDecay = -1 },
		"warm-up is 1":         func(o *AdamW) { o.Warmup = 1 },
		`schedule "step"`:      func(o *AdamW) { o.Schedule = "step" },
	} {
		o := good
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
