package reward_test

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"haf/backend"
	"haf/lm"
	"haf/reward"
)

// A job is a folder for testdata/transformers_families.py, and the rewards that haf gives it.
type job struct {
	Folder     string    `json:"folder"`
	Sequences  [][]int32 `json:"sequences,omitempty"`
	Multimodal bool      `json:"multimodal,omitempty"`

	name string
	want []float64
}

// transformers runs testdata/transformers_families.py: the rewards of the jobs' sequences.
func transformers(t *testing.T, jobs []job) [][]float64 {
	t.Helper()
	var answers [][]float64
	runPython(t, "transformers_families.py", jobs, &answers)
	return answers
}

// runPython gives a script of testdata its jobs, with $HAF_PYTHON, else python3, and skips the test
// where that has no transformers.
func runPython(t *testing.T, script string, jobs, answers any) {
	t.Helper()
	python := os.Getenv("HAF_PYTHON")
	if python == "" {
		python = "python3"
	}
	const find = "import importlib.util as u, sys; sys.exit(any(u.find_spec(m) is None for m in " +
		"('torch', 'transformers', 'peft')))"
	if err := exec.Command(python, "-c", find).Run(); err != nil {
		t.Skipf("%s has not torch, transformers and peft (set HAF_PYTHON): %v", python, err)
	}
	in, err := json.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", script))
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, answers); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestTransformersReadsFamilies saves a trained model of every family in full, as an adapter on
// every linear layer and merged, and wants transformers and PEFT to give the rewards that haf
// gives. A Gemma 3 with a vision part, made by transformers, is the way back, too.
func TestTransformersReadsFamilies(t *testing.T) {
	multimodal := filepath.Join(t.TempDir(), "gemma3 with a vision part")
	transformers(t, []job{{Folder: multimodal, Multimodal: true}})
	bases := map[string]string{"gemma3": multimodal}
	for _, family := range lm.Families() {
		bases[family] = writeFamily(t, family)
	}
	device, err := backend.Open("go")
	if err != nil {
		t.Fatal(err)
	}
	var jobs []job
	for family, base := range bases {
		for _, form := range []string{"full", "adapter", "merged"} {
			jobs = append(jobs, saved(t, device, base, family, form))
		}
	}
	worst := map[string]float64{}
	for i, got := range transformers(t, jobs) {
		j := jobs[i]
		for k := range got {
			d := math.Abs(got[k] - j.want[k])
			worst[j.name] = max(worst[j.name], d)
			if !(d <= 1e-4) {
				t.Errorf("%s: reward %d is %.6f, transformers has %.6f", j.name, k, j.want[k], got[k])
			}
		}
		t.Logf("%s: largest difference %.1e", j.name, worst[j.name])
	}
}

// saved trains (by chance) a model on the base, saves it in the given form, and returns the folder
// with haf's rewards.
func saved(t *testing.T, device *backend.Device, base, family, form string) job {
	t.Helper()
	opt := reward.Options{Train: true}
	if form != "full" {
		opt.Random = rand.New(rand.NewPCG(1, 1))
		opt.LoRA = &lm.LoRA{Rank: 3, Alpha: 5, Targets: []string{".*"}}
	}
	m := openFamily(t, device, base, opt)
	setScore(t, m)
	random := rand.New(rand.NewPCG(2, 2))
	for _, p := range m.Trainable(reward.ScoreHead | reward.PolicyHead) {
		a, err := p.Read()
		if err != nil {
			t.Fatal(err)
		}
		for i := range a.Data {
			a.Data[i] += float32(0.1 * random.NormFloat64())
		}
		if err := m.Set(p, a); err != nil {
			t.Fatal(err)
		}
	}
	j := job{name: family + " " + form, Folder: filepath.Join(t.TempDir(), "model")}
	save := m.Save
	if form == "merged" {
		save = m.SaveMerged
	}
	if err := save(j.Folder); err != nil {
		t.Fatal(err)
	}
	groups := randomGroups(60, 3) // below the tokens of images
	heads, err := m.Read(t.Context(), groups, reward.ScoreHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openFamily(t, device, j.Folder, reward.Options{}).Read(t.Context(), groups,
		reward.ScoreHead, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for g := range groups {
		for k, response := range groups[g].Responses {
			same(t, j.name+": reward after opening again", again.Scores[g][k], heads.Scores[g][k])
			j.Sequences = append(j.Sequences, slices.Concat(groups[g].Prompt, response.Tokens))
			j.want = append(j.want, heads.Scores[g][k])
		}
	}
	return j
}
