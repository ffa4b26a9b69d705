package optim_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"haf/lm"
	"haf/weights"
)

// writeModel writes a folder of the tiny decoder with random weights.
func writeModel(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "config.json")
	if err := os.WriteFile(path, []byte(tinyConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	config, err := lm.ParseConfig([]byte(tinyConfig))
	if err != nil {
		t.Fatal(err)
	}
	arrays := lm.Init(config, rand.New(rand.NewPCG(1, 0)))
	if err := weights.Write(dir, weights.Lazy(arrays...), weights.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}
