package launch_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"haf/backend"
	"haf/launch"
	"haf/recipe"
	"haf/run"
)

// TestMeshRefused asks for meshes that there are not. Each is one error before the run has a
// folder.
func TestMeshRefused(t *testing.T) {
	env, _ := newEnv(t)
	_, set := sets(t)
	for _, c := range []struct{ set, want string }{
		{"mesh.data=2", "the pure Go backend has one: install XLA (haf setup)"},
		{"mesh.shard=2", "the pure Go backend has one: install XLA (haf setup)"},
		{"mesh.data=0", "mesh.data is 0, want"},
		{"mesh.shard=-1", "mesh.shard is -1, want"},
		{"mesh.rows=2", `unknown key "mesh.rows"`},
	} {
		request := launch.Request{Set: append(slices.Clone(set), c.set),
			Out: filepath.Join(t.TempDir(), "run")}
		s, r, err := request.Session(run.VerbTrain)
		if err == nil {
			_, err = launch.Train(t.Context(), env, s, r)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || run.Exists(request.Out) {
			t.Errorf("%s: %v, a folder: %v; want %q", c.set, err, run.Exists(request.Out), c.want)
		}
	}
	request := launch.Request{Set: append(set, "rlhf.rewards=x", "mesh.shard=2"), Out: "never"}
	if _, _, err := request.Session(run.VerbRLHF); err == nil ||
		!strings.Contains(err.Error(), "mesh.shard has no effect on haf rlhf") {
		t.Errorf("haf rlhf: %v", err)
	}
	request = launch.Request{Resume: "never", Set: []string{"train.lr=1"}}
	if _, _, err := request.Session(run.VerbTrain); err == nil ||
		!strings.Contains(err.Error(), "except -set mesh.data=N") {
		t.Errorf("resumed with another learning rate: %v", err)
	}
}

// TestMeshResumed interrupts a training on two devices, and resumes it on two that divide its
// weights.
func TestMeshResumed(t *testing.T) {
	if found, err := backend.Find("cpu"); err != nil || len(found) == 0 {
		t.Skipf("no XLA plug-in for CPUs: %v", err)
	}
	env, told := newEnv(t)
	var err error
	if env.Device, err = backend.Open("cpu"); err != nil {
		t.Fatal(err)
	}
	_, set := sets(t, "train.epochs=2", "mesh.data=2")
	dir := filepath.Join(t.TempDir(), "run")
	r, err := recipe.Load("", set)
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err = launch.TrainIn(stopped, env, r, dir); err == nil {
		t.Fatal("not interrupted")
	}
	if !told.has("2 devices") || !told.has("mesh 2 × 1") {
		t.Errorf("the mesh was not told: %q", *told)
	}
	request := launch.Request{Resume: dir, Set: []string{"mesh.data=1", "mesh.shard=2"}}
	s, r, err := request.Session(run.VerbTrain)
	if err != nil {
		t.Fatal(err)
	}
	result, err := launch.Train(t.Context(), env, s, r)
	if err != nil || result.Steps != 2 || !told.has("mesh 1 × 2") {
		t.Errorf("%d steps, %v, told %q", result.Steps, err, *told)
	}
}
