package reward_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/backend"
	"haf/reward"
)

// TestMesh reads the rewards of both heads on four devices, as haf score and haf serve do: they are
// those of one device but for rounding. Saved from there the model is the same, and generation is
// refused.
func TestMesh(t *testing.T) {
	one, err := backend.Open("cpu")
	if err != nil {
		t.Skipf("no XLA plug-in for CPUs: %v", err)
	}
	t.Cleanup(one.Finalize)
	four, err := one.OnMesh(backend.Mesh{Data: 2, Shard: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(four.Finalize)
	device, base := demoBase(t)
	dir := t.TempDir() + "/model"
	if err := changed(t, device, base, true).Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, rewards := range [][]string{{reward.ByScore}, {reward.ByImplicit}} {
		var read [2][]float64
		for i, on := range []*backend.Device{one, four} {
			m := open(t, on, dir, reward.Options{})
			read[i] = served(t, engine(t, m, reward.EngineOptions{Rewards: rewards}))
			if i == 0 {
				continue
			}
			if _, err := m.Generator(1); err == nil || !strings.Contains(err.Error(), "runs on one") {
				t.Errorf("generating on a mesh: %v", err)
			}
			if len(m.Params()) == 0 {
				t.Error("no weights")
			}
			for _, p := range m.Params() {
				if got := m.PartBytes(p); got != p.Bytes() && got*2 != p.Bytes() {
					t.Errorf("%s: a device has %d of %d bytes", p.Name, got, p.Bytes())
				}
			}
			again := t.TempDir() + "/again"
			if err := m.Save(again); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"adapter_model.safetensors", "adapter_config.json"} {
				was, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					t.Fatal(err)
				}
				if is, err := os.ReadFile(filepath.Join(again, name)); err != nil || !bytes.Equal(is, was) {
					t.Errorf("%s was saved otherwise on a mesh: %v", name, err)
				}
			}
		}
		for k, want := range read[0] {
			if math.Abs(read[1][k]-want) > 1e-5*max(1, math.Abs(want)) {
				t.Errorf("%v of sample %d is %v, on one device %v", rewards, k, read[1][k], want)
			}
		}
	}
}
