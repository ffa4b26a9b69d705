package train_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/encode"
	"haf/lm"
	"haf/objective"
	"haf/reward"
	"haf/run"
	"haf/train"
)

// stateScores gives every group scores in the order of its responses, and ties the last two of
// three.
func stateScores(d *train.Data) {
	change := func(groups []encode.Group) {
		for i := range groups {
			g := &groups[i]
			for k := range g.Responses {
				g.Scores = append(g.Scores, 2-float64(k))
			}
			if len(g.Responses) == 3 {
				g.Scores[2] = g.Scores[1]
				g.Ties = [][2]int{{1, 2}}
			}
		}
	}
	change(d.Train)
	change(d.Valid)
}

// TestObjectives trains by losses that read more of the data than which response was chosen. The
// first loss is checked by the loop against the float64 reference, and the validation loss falls.
func TestObjectives(t *testing.T) {
	for name, set := range map[string]func(*objective.Hybrid){
		"margins and scores": func(h *objective.Hybrid) {
			h.Reward, h.Policy, h.Center = "margin + 0.5 scaled", "rpo-bwd-kl + rpo-sq-group", 0.01
		},
		"ties": func(h *objective.Hybrid) {
			h.Reward, h.Policy = "rao-kupper + davidson",
				"dpo-davidson + 0.5 kto-pair"
		},
		"ranking": func(h *objective.Hybrid) {
			h.Reward, h.Policy, h.Explicit = "plackett-luce", "rpo-fwd-kl-group", objective.ExplicitJoint
		},
		"learned scale": func(h *objective.Hybrid) {
			h.Reward, h.Link, h.LearnScale, h.LinkScale = "bradley-terry", objective.StudentLink, true, 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := objective.Default()
			set(&h)
			var log []string
			_, dir, err := small{
				lora: true, data: stateScores, lines: &log,
				options: func(o *train.Options) { o.Objective, o.Epochs = h, 4 },
			}.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			asItMust := func(line string) bool { return strings.Contains(line, "as it must be") }
			if !slices.ContainsFunc(log, asItMust) {
				t.Errorf("the first loss was not as it must be: %q", log)
			}
			validations := records(t, dir).Validations
			if first, last := validations[0].Loss, validations[len(validations)-1].Loss; !(last < first) {
				t.Errorf("validation loss %v after the first steps, %v at the end", first, last)
			}
			var meta reward.Meta
			data, err := os.ReadFile(filepath.Join(dir, run.ModelName, reward.MetaName))
			if err == nil {
				err = json.Unmarshal(data, &meta)
			}
			if err != nil {
				t.Fatal(err)
			}
			if learned := meta.Objective.LinkScale != h.LinkScale; learned != h.LearnScale ||
				!(meta.Objective.LinkScale > 0) {
				t.Errorf("haf.json has the scale %v, the recipe %v", meta.Objective.LinkScale, h.LinkScale)
			}
		})
	}
}

// TestSomeMargins trains on data of which every other group states margins: the first loss is the
// mean over those, and the log counts the others.
func TestSomeMargins(t *testing.T) {
	h := objective.Default()
	h.Reward, h.PolicyWeight = "scaled", 0
	var log []string
	half := func(d *train.Data) {
		stateScores(d)
		for _, groups := range [][]encode.Group{d.Train, d.Valid} {
			for i := range groups {
				if i%2 == 1 {
					groups[i].Scores = nil
				}
			}
		}
	}
	_, _, err := small{lora: true, data: half, lines: &log,
		options: func(o *train.Options) { o.Objective = h }}.fresh(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"as it must be", "training comparisons state none; losses that " +
		"read margins skip them"} {
		if !slices.ContainsFunc(log, func(line string) bool { return strings.Contains(line, want) }) {
			t.Errorf("no line has %q: %q", want, log)
		}
	}
}

// TestUnstated refuses losses that read what the data does not state.
func TestUnstated(t *testing.T) {
	for want, set := range map[string]func(*objective.Hybrid){
		`no comparison of the data states a margin, but reward "margin"`: func(h *objective.Hybrid) {
			h.Reward = "margin"
		},
		`small:2 states no rewards, but policy "rpo-sq-group"`: func(h *objective.Hybrid) {
			h.Policy = "rpo-sq-group"
		},
	} {
		h := objective.Default()
		set(&h)
		_, _, err := small{lora: true, options: func(o *train.Options) { o.Objective = h }}.fresh(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSchedules has α change within a run: one gradient program serves all steps, metrics.jsonl
// says the weights, and a run that was stopped resumes to the same bits.
func TestSchedules(t *testing.T) {
	constant, _, err := small{lora: true, options: func(o *train.Options) { o.MaxSteps = 6 }}.fresh(t)
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[string][]float64{ // α of the first steps
		objective.Ramp: {0, 0.2 / 3, 0.4 / 3, 0.2}, objective.Alternate: {0, 0, 0.2, 0.2},
		objective.Elastic: {0, 0, 0.2, 0.2},
	} {
		t.Run(kind, func(t *testing.T) {
			s := small{lora: true, options: func(o *train.Options) {
				h := &o.Objective
				if kind == objective.Elastic {
					h.Strength = 1e3
				}
				h.Kind, h.Steps, h.Share, h.LearnScale, o.MaxSteps = kind, 2, 0.5, true, 6
			}}
			result, whole, err := s.fresh(t)
			if err != nil {
				t.Fatal(err)
			}
			// The learned scale shares the score head's program; elastic has a program more for
			// each of the two kinds of parts.
			more := map[string]int{objective.Elastic: 2}[kind]
			if result.Programs != constant.Programs+more {
				t.Errorf("%d programs, %d with a constant α", result.Programs, constant.Programs)
			}
			for i, line := range records(t, whole).Steps[:len(want)] {
				sum := line.RewardWeight*line.RewardLoss + line.PolicyWeight*line.PolicyLoss
				if math.Abs(line.PolicyWeight-want[i]) > 1e-9 || math.Abs(line.Loss-sum) > 1e-5 {
					t.Errorf("step %d: %+v, want α %g", i+1, line, want[i])
				}
			}
			stopped := s.stopped(t, 3)
			if err := s.resume(t, stopped); err != nil {
				t.Fatal(err)
			}
			sameRun(t, whole, stopped, "adapter_model.safetensors", reward.MetaName)
		})
	}
}

// TestHeads trains a score head of two layers with dropout, and a variance head beside it: its
// first loss is that of zero scores, it learns, and a run that was stopped resumes to the same
// bits.
func TestHeads(t *testing.T) {
	heads := func(dropout train.Dropout) small {
		return small{
			model: func(o *reward.Options) {
				o.LoRA = &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}}
				o.Random, o.Train = rand.New(rand.NewPCG(5, 0)), false
				o.Head = reward.HeadInit{Kind: reward.MLPHead, Units: 24, Variance: true}
			},
			options: func(o *train.Options) {
				o.Objective = hybrid(1, 0, 0.1)
				o.Objective.Reward, o.Objective.Link = "uncertain", objective.GaussianLink
				o.Optimizer.WeightDecay, o.Optimizer.Warmup = 0, 0
				o.HeadDropout, o.Epochs, o.EvalEvery, o.CheckpointEvery = dropout, 3, 4, 3
			},
		}
	}
	s := heads(train.Dropout{Rate: 0.2, Seed: 3})
	result, whole, err := s.fresh(t)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(result.FirstLoss-math.Ln2) > 1e-6 || result.Best.Loss > 0.98*math.Ln2 {
		t.Errorf("first loss %v, best %+v", result.FirstLoss, result.Best)
	}
	stopped := s.stopped(t, 4)
	if err := s.resume(t, stopped); err != nil {
		t.Fatal(err)
	}
	sameRun(t, whole, stopped,
		"adapter_model.safetensors", reward.MetaName, "variance_head.safetensors")
	_, plain, err := heads(train.Dropout{}).fresh(t)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(lines(t, records(t, plain)), lines(t, records(t, whole))) {
		t.Error("dropout changes nothing")
	}
}
