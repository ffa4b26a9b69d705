package launch_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"

	"haf/launch"
	"haf/run"
)

// times are the fields of metrics.jsonl that depend on the time and on the memory of the process.
var times = regexp.MustCompile(`"(seconds|generate_seconds|score_seconds|peak_memory)":[-+0-9.e]+`)

// A place is where a process runs.
type place struct {
	threads, hours int // the difference of its time zone
	locale         string
}

// places are on both sides of midnight. With eight threads, eight workers read and encode the data.
var places = []place{{1, 0, "C"}, {2, 14, "tr_TR.UTF-8"}, {8, -12, "de_DE.UTF-8"}}

func (p place) enter(t *testing.T) {
	runtime.GOMAXPROCS(p.threads)
	time.Local = time.FixedZone("test", 3600*p.hours)
	t.Setenv("LC_ALL", p.locale)
}

// TestDeterministic trains, and optimizes a policy, by one recipe in each place: metrics.jsonl has
// the same bytes but for times, and the weights are the same. So have those of a run that is
// interrupted in one place and resumed in another on the next day. The chat template writes the
// day, so the resumed run must take that of its start.
func TestDeterministic(t *testing.T) {
	threads, zone := runtime.GOMAXPROCS(0), time.Local
	t.Cleanup(func() { runtime.GOMAXPROCS(threads); time.Local = zone })
	for _, verb := range []run.Verb{run.VerbTrain, run.VerbRLHF} {
		t.Run(cmp.Or(string(verb), "train"), func(t *testing.T) {
			more := []string{"train.epochs=2", "data.valid_fraction=0.25"}
			if verb == run.VerbRLHF {
				more = []string{"train.max_steps=3", "train.batch=2", "rlhf.rewards=http://rule",
					"rlhf.algorithm=rloo", "rlhf.max_tokens=4", "data.valid_fraction=0.25",
					"rlhf.eval_every=1"}
			}
			demo, set := sets(t, more...)
			writeDay(t, demo.Base)
			t.Setenv("SOURCE_DATE_EPOCH", "1800000000")
			var want string
			for _, p := range places {
				p.enter(t)
				dir := filepath.Join(t.TempDir(), "run")
				if err := perform(t.Context(), t, verb, set, dir, nil); err != nil {
					t.Fatal(err)
				}
				got := results(t, dir)
				if want == "" {
					want = got
				}
				if got != want {
					t.Errorf("%+v:\n%s\nwant\n%s", p, got, want)
				}
			}
			if !bytes.Contains([]byte(want), []byte(`"kind":"eval"`)) {
				t.Errorf("no validation: %s", want)
			}
			dir := filepath.Join(t.TempDir(), "run")
			places[1].enter(t)
			ctx, cancel := context.WithCancel(t.Context())
			err := perform(ctx, t, verb, set, dir, cancel)
			if !errors.Is(err, run.ErrInterrupted) {
				t.Fatalf("the interrupted run ended with %v", err)
			}
			places[2].enter(t)
			t.Setenv("SOURCE_DATE_EPOCH", "1800086400")
			if err := perform(t.Context(), t, verb, nil, dir, nil); err != nil {
				t.Fatal(err)
			}
			if got := results(t, dir); got != want {
				t.Errorf("interrupted and resumed:\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// An interrupter is a run.Progress that interrupts the run after its first step.
type interrupter struct {
	lines
	phase     string
	interrupt func()
}

func (i *interrupter) StartPhase(name string, _ int) { i.phase = name }

func (i *interrupter) Update(int, string) {
	if i.phase != "reference" {
		i.interrupt()
	}
}

// perform makes a run of the verb, or without sets resumes it. A function interrupts it, nil: none.
func perform(
	ctx context.Context, t *testing.T, verb run.Verb, set []string, dir string, interrupt func(),
) error {
	t.Helper()
	env, _ := newEnv(t)
	if interrupt != nil {
		env.Progress = &interrupter{interrupt: interrupt}
	}
	request := launch.Request{Set: set, Out: dir}
	if set == nil {
		request = launch.Request{Resume: dir}
	}
	s, r, err := request.Session(verb)
	if err != nil {
		t.Fatal(err)
	}
	if verb == run.VerbRLHF {
		_, err = launch.RLHF(ctx, env, s, r, &byLength{})
		return err
	}
	_, err = launch.Train(ctx, env, s, r)
	return err
}

// results are the records of a run without times, and its weights.
func results(t *testing.T, dir string) string {
	t.Helper()
	metrics, err := os.ReadFile(filepath.Join(dir, run.MetricsName))
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(filepath.Join(dir, run.ModelName, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	return string(times.ReplaceAll(metrics, nil)) + fmt.Sprintf("%x", sha256.Sum256(weights))
}

// writeDay has a model's chat template begin with a word that depends on the day.
func writeDay(t *testing.T, model string) {
	t.Helper()
	path := filepath.Join(model, "tokenizer_config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(data, &config); err != nil {
		t.Fatal(err)
	}
	config["chat_template"] = "{{ ['fox ', 'owl ', 'mice '][strftime_now('%j') | int % 3] }}" +
		config["chat_template"].(string)
	if data, err = json.Marshal(config); err == nil {
		err = os.WriteFile(path, data, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
