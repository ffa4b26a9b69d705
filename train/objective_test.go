package train

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/gomlx/core/tensors"

	"haf/backend"
	"haf/encode"
	"haf/internal/shared"
	"haf/lm"
	"haf/objective"
	"haf/optim"
	"haf/pref"
	"haf/reward"
)

// stateScores gives every group scores in the order of its responses, and ties the last two of three.
func stateScores(d *Data) {
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

// said is a Progress that keeps what was said.
type said struct {
	watcher
	lines []string
}

func (s *said) Say(format string, args ...any) {
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// TestObjectives trains by losses that read more of the data than which response was chosen. The first loss is checked
// by the loop against the float64 twin, and the validation loss falls.
func TestObjectives(t *testing.T) {
	for name, set := range map[string]func(*objective.Hybrid){
		"margins and scores": func(h *objective.Hybrid) {
			h.Reward, h.Policy, h.Center = "margin + 0.5 scaled", "rpo-bwd-kl + rpo-sq-group", 0.01
		},
		"ties": func(h *objective.Hybrid) { h.Reward, h.Policy = "rao-kupper + davidson", "dpo-davidson + 0.5 kto-pair" },
		"ranking": func(h *objective.Hybrid) {
			h.Reward, h.Policy, h.Explicit = "plackett-luce", "rpo-fwd-kl-group", objective.ExplicitJoint
		},
		"learned scale": func(h *objective.Hybrid) {
			h.Reward, h.Prior, h.LearnScale, h.PriorScale = "bradley-terry", objective.StudentPrior, true, 2
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := objective.Default()
			set(&h)
			dir := filepath.Join(t.TempDir(), "run")
			progress := &said{watcher: watcher{t: t}}
			_, err := smallRunOn(t, t.Context(), "float32", stateScores, newFolder(t, dir), true, func(o *Options) { o.Objective, o.Epochs = h, 4 }, progress)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(progress.lines, func(line string) bool { return strings.Contains(line, "as it must be") }) {
				t.Errorf("the first loss was not as it must be: %q", progress.lines)
			}
			validations := evaluations(t, dir)
			if first, last := validations[0].Loss, validations[len(validations)-1].Loss; !(last < first) {
				t.Errorf("validation loss %v after the first steps, %v at the end", first, last)
			}
			var meta reward.Meta
			data, err := os.ReadFile(filepath.Join(dir, ModelName, reward.MetaName))
			if err == nil {
				err = json.Unmarshal(data, &meta)
			}
			if err != nil {
				t.Fatal(err)
			}
			if learned := meta.Objective.PriorScale != h.PriorScale; learned != h.LearnScale || !(meta.Objective.PriorScale > 0) {
				t.Errorf("haf.json has the scale %v, the recipe %v", meta.Objective.PriorScale, h.PriorScale)
			}
		})
	}
}

// evaluations reads the validations of metrics.jsonl.
func evaluations(t *testing.T, dir string) (out []evalRecord) {
	t.Helper()
	f, err := os.Open(filepath.Join(dir, MetricsName))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var record evalRecord
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			t.Fatal(err)
		}
		if record.Kind == "eval" {
			out = append(out, record)
		}
	}
	return out
}

// TestUnstated refuses losses that read what the data does not state.
func TestUnstated(t *testing.T) {
	for want, set := range map[string]func(*objective.Hybrid){
		`no comparison of the data states a margin, but reward "margin"`: func(h *objective.Hybrid) { h.Reward = "margin" },
		`small:2 states no rewards, but policy "rpo-sq-group"`:           func(h *objective.Hybrid) { h.Policy = "rpo-sq-group" },
	} {
		h := objective.Default()
		set(&h)
		_, err := smallRun(t, t.Context(), newFolder(t, filepath.Join(t.TempDir(), "run")), true, func(o *Options) { o.Objective = h }, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestTiesAreNotRight counts accuracy over decided comparisons alone.
func TestTiesAreNotRight(t *testing.T) {
	g := encode.Group{Prompt: []int32{1}, Responses: []encode.Response{encode.Answer([]int32{2}), encode.Answer([]int32{3})}, Ties: [][2]int{{0, 1}}, Comparisons: []pref.Comparison{}}
	plan, err := encode.NewPlan([]encode.Group{g}, encode.PlanOptions{Positions: 64})
	if err != nil {
		t.Fatal(err)
	}
	b := plan.Batch(0)
	if b.NumComparisons != 1 || b.Tie[0] != 1 || b.Weight[0] != 1 {
		t.Errorf("a tie is laid out as %+v", b)
	}
	values := valuesOf(&g, nil, nil, nil)
	if len(values.Comparisons) != 1 || !values.Comparisons[0].Tie {
		t.Errorf("its twin is %+v", values)
	}
}

// TestSchedules has α change within a run: one gradient program serves all steps, metrics.jsonl says the weights, and a
// run that was stopped goes on to the same bits.
func TestSchedules(t *testing.T) {
	for kind, want := range map[string][]float64{ // α of the first steps
		objective.Ramp: {0, 0.2 / 3, 0.4 / 3, 0.2}, objective.Alternate: {0, 0, 0.2, 0.2}, objective.Elastic: {0, 0, 0.2, 0.2},
	} {
		t.Run(kind, func(t *testing.T) {
			change := func(o *Options) {
				if kind == objective.Elastic {
					o.Objective.Strength = 1e3
				}
				o.Objective.Kind, o.Objective.Steps, o.Objective.Share, o.Objective.LearnScale, o.MaxSteps = kind, 2, 0.5, true, 6
			}
			whole, stopped := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "stopped")
			result, err := smallRun(t, t.Context(), newFolder(t, whole), true, change, nil)
			if err != nil {
				t.Fatal(err)
			}
			constant, err := smallRun(t, t.Context(), newFolder(t, filepath.Join(t.TempDir(), "run")), true, func(o *Options) { o.MaxSteps = 6 }, nil)
			if err != nil {
				t.Fatal(err)
			}
			// The learned scale is a part with the score head; elastic has a program more for each of the two kinds of parts.
			more := map[string]int{objective.Elastic: 2}[kind]
			if result.Programs != constant.Programs+more {
				t.Errorf("%d programs, %d with a constant α", result.Programs, constant.Programs)
			}
			for i, line := range steps(t, whole)[:len(want)] {
				if math.Abs(line.PolicyWeight-want[i]) > 1e-9 || math.Abs(line.Loss-line.RewardWeight*line.RewardLoss-line.PolicyWeight*line.PolicyLoss) > 1e-5 {
					t.Errorf("step %d: %+v, α %g is wanted", i+1, line, want[i])
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			_, err = smallRun(t, ctx, newFolder(t, stopped), true, change, func(done int) {
				if done == 3 {
					cancel()
				}
			})
			if !errors.Is(err, ErrInterrupted) {
				t.Fatalf("%v, want ErrInterrupted", err)
			}
			if _, err := smallRun(t, t.Context(), resume(t, stopped), true, change, nil); err != nil {
				t.Fatal(err)
			}
			sameRun(t, whole, stopped)
		})
	}
}

// TestHeads trains a score head of two layers with dropout, and a variance head beside it: its first loss is that of zero scores, it learns, and a run that
// was stopped goes on to the same bits.
func TestHeads(t *testing.T) {
	change := func(o *Options) { o.HeadDropout, o.Epochs = Dropout{Rate: 0.2, Seed: 3}, 3 }
	run := func(ctx context.Context, folder *Folder, change func(*Options), at func(int)) (Result, error) {
		t.Helper()
		device, err := backend.Open("")
		if err != nil {
			t.Fatal(err)
		}
		model, err := reward.Open(device, filepath.Join(shared.Root(), "lm", "testdata", "llama"), reward.Options{
			NoTokenizer: true, Positions: 128, LogitChunk: 64, LoRA: &lm.LoRA{Rank: 4, Alpha: 8, Targets: []string{"q_proj"}}, Random: rand.New(rand.NewPCG(5, 0)),
			Head: reward.FreshHead{Kind: reward.MLPHead, Units: 24, Variance: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer model.Close()
		options := Options{Objective: hybrid(1, 0, 0.1), Optimizer: optim.AdamW{LR: 1e-2, Beta1: 0.9, Beta2: 0.999, Eps: 1e-5, Clip: 1, Schedule: "linear"}, Epochs: 3, Batch: 12, EvalEvery: 4, CheckpointEvery: 3, Seed: 9, Fingerprint: "heads"}
		options.Objective.Reward, options.Objective.Prior = "uncertain", objective.GaussianPrior
		change(&options)
		return Run(ctx, model, smallData(60, model.Config.Vocab), options, folder, &watcher{t: t, at: at})
	}
	whole, stopped := filepath.Join(t.TempDir(), "whole"), filepath.Join(t.TempDir(), "stopped")
	result, err := run(t.Context(), newFolder(t, whole), change, nil)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(result.FirstLoss-math.Ln2) > 1e-6 || result.Best.Loss > 0.98*math.Ln2 {
		t.Errorf("first loss %v, best %+v", result.FirstLoss, result.Best)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err = run(ctx, newFolder(t, stopped), change, func(done int) {
		if done == 4 {
			cancel()
		}
	}); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("%v, want ErrInterrupted", err)
	}
	if _, err := run(t.Context(), resume(t, stopped), change, nil); err != nil {
		t.Fatal(err)
	}
	sameRun(t, whole, stopped, "variance_head.safetensors")
	plain := filepath.Join(t.TempDir(), "plain")
	if _, err := run(t.Context(), newFolder(t, plain), func(o *Options) {}, nil); err != nil {
		t.Fatal(err)
	}
	if slices.Equal(losses(t, plain), losses(t, whole)) {
		t.Error("dropout changes nothing")
	}
}

// steps reads the steps of metrics.jsonl.
func steps(t *testing.T, dir string) (out []stepRecord) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, MetricsName))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var record stepRecord
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record.Kind == "step" {
			out = append(out, record)
		}
	}
	return out
}

// sameRun wants the metrics but for the seconds, and the models, to be the same to the bit.
func sameRun(t *testing.T, whole, stopped string, files ...string) {
	t.Helper()
	if got, want := losses(t, stopped), losses(t, whole); !slices.Equal(got, want) {
		t.Errorf("the metrics differ from the run never stopped:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, file := range append([]string{"adapter_model.safetensors", reward.MetaName}, files...) {
		a, errA := os.ReadFile(filepath.Join(whole, ModelName, file))
		b, errB := os.ReadFile(filepath.Join(stopped, ModelName, file))
		if errA != nil || errB != nil || !slices.Equal(a, b) {
			t.Errorf("%s differs from the run never stopped: %v, %v", file, errA, errB)
		}
	}
}

// TestElastic compares the penalty with its equation: importances are the running mean of squared gradients by the
// block's loss, and a weight is pulled back by what it changed, times its importance to the other loss.
func TestElastic(t *testing.T) {
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	model, err := reward.Open(device, filepath.Join(shared.Root(), "lm", "testdata", "llama"), reward.Options{NoTokenizer: true, Train: true, Positions: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer model.Close()
	h := objective.Default()
	h.Kind, h.Steps, h.Strength = objective.Elastic, 1, 3
	s := newStepper(model, h, optim.AdamW{LR: 1, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, Schedule: "constant"}, 4)
	defer s.close()
	if err := s.newElastic(); err != nil {
		t.Fatal(err)
	}
	fill := func(value float32) (out []*tensors.Tensor) {
		for _, p := range s.Params() {
			flat := make([]float32, p.Size())
			for i := range flat {
				flat[i] = value
			}
			out = append(out, tensors.FromFlatDataAndDimensions(flat, p.Shape...))
		}
		return out
	}
	first := func(list []*tensors.Tensor) float64 { return float64(tensors.MustCopyFlatData[float32](list[3])[0]) }
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	values := func() float64 { return float64(tensors.MustCopyFlatData[float32](s.Params()[3].Value)[0]) }

	gradients := fill(2) // of the reward loss, in the first block: nothing is pulled
	if _, err := s.pullBack(gradients, 1); err != nil {
		t.Fatal(err)
	}
	near("the first gradient", first(gradients), 2)
	near("the importance for the reward loss", first(s.elastic.importance[0]), 0.1*4)
	gradients = fill(5) // of the policy loss; the block begins here
	before := values()
	if _, err := s.pullBack(gradients, 2); err != nil {
		t.Fatal(err)
	}
	near("the gradient where a block begins", first(gradients), 5)
	s.elastic.schedule.Steps = 2 // steps 3 and 4 are of the policy loss's block, which began at the weights of step 2
	near("the anchor", first(s.elastic.anchor), before)
	if err := s.Apply(gradients, 1, 1, 1); err != nil {
		t.Fatal(err)
	}
	gradients = fill(1)
	squares, err := s.pullBack(gradients, 4)
	if err != nil {
		t.Fatal(err)
	}
	want := 1 + 3*0.4*(values()-before)
	near("the pulled gradient", first(gradients), want)
	near("the importance for the policy loss", first(s.elastic.importance[1]), 0.9*0.1*25+0.1*1)
	_, all := model.NumParams()
	near("the squared norm", squares/float64(all)/(want*want), 1)
}
