package launch_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"testing"
	"time"

	"haf/launch"
	"haf/recipe"
	"haf/run"
)

// times are the fields of metrics.jsonl that depend on the time and on the memory of the process.
var times = regexp.MustCompile(`"(seconds|generate_seconds|score_seconds|peak_memory)":[-+0-9.e]+`)

// TestDeterministic trains one recipe with one, two and eight threads, in time zones on both sides
// of midnight and in several locales: metrics.jsonl has the same bytes but for times, and the
// weights are the same. Eight threads read and encode the data with eight workers.
func TestDeterministic(t *testing.T) {
	threads, zone := runtime.GOMAXPROCS(0), time.Local
	t.Cleanup(func() { runtime.GOMAXPROCS(threads); time.Local = zone })
	demo, set := sets(t, "train.epochs=2", "data.valid_fraction=0.25")
	var want, model []byte
	for _, c := range []struct {
		threads, hours int
		locale         string
	}{{1, 0, "C"}, {2, 14, "tr_TR.UTF-8"}, {8, -12, "de_DE.UTF-8"}} {
		runtime.GOMAXPROCS(c.threads)
		time.Local = time.FixedZone("test", 3600*c.hours)
		t.Setenv("LC_ALL", c.locale)
		env, _ := newEnv(t)
		r, err := recipe.Load("", set)
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "run")
		if _, err := launch.TrainIn(t.Context(), env, r, dir); err != nil {
			t.Fatal(err)
		}
		metrics, err := os.ReadFile(filepath.Join(dir, run.MetricsName))
		if err != nil {
			t.Fatal(err)
		}
		weights, err := os.ReadFile(filepath.Join(dir, run.ModelName, "model.safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		if metrics = times.ReplaceAll(metrics, nil); want == nil {
			want, model = metrics, weights
		}
		if !bytes.Equal(metrics, want) || !bytes.Equal(weights, model) {
			t.Errorf("%+v on %s:\n%s\nwant\n%s", c, demo.Train, metrics, want)
		}
	}
	if !bytes.Contains(want, []byte(`"kind":"eval"`)) {
		t.Errorf("no validation: %s", want)
	}
}
