package run_test

import (
	"os"
	"strings"
	"testing"

	"haf/run"
)

// TestChangedFiles flips a bit of every byte of a finished run's manifest and metrics, and of the
// metrics of a run that is resumed, and cuts them anywhere: none of them is read.
func TestChangedFiles(t *testing.T) {
	folder := opened(t)
	record := func(step int) {
		t.Helper()
		r := run.TrainStep{Kind: run.KindStep, Step: step, Loss: 0.8314}
		if err := folder.Record(r); err != nil {
			t.Fatal(err)
		}
	}
	record(1)
	saved := &state{State: run.State{Step: 1}}
	if err := folder.SaveCheckpoint(saved, write("x")); err != nil {
		t.Fatal(err)
	}
	record(2)
	if err := folder.Seal(); err != nil {
		t.Fatal(err)
	}
	for path, read := range map[string]func() error{
		folder.Join(run.ManifestName): func() error {
			_, err := run.ReadManifest[any](folder.Path, nil)
			return err
		},
		folder.Join(run.MetricsName): func() error {
			_, err := run.ReadRecords(folder.Path, run.VerbTrain)
			return err
		},
	} {
		changes(t, path, read)
	}
	first := strings.Index(text(t, folder.Join(run.MetricsName)), "\n") + 1
	if err := os.WriteFile(folder.Join(run.MetricsName),
		[]byte(text(t, folder.Join(run.MetricsName))[:first]), 0o644); err != nil {
		t.Fatal(err)
	}
	changes(t, folder.Join(run.MetricsName), func() error {
		return folder.OpenMetrics(saved, false)
	})
}

// changes wants read to succeed, and to fail with a bit of each byte flipped and at each shorter
// length.
func changes(t *testing.T, path string, read func() error) {
	t.Helper()
	whole := []byte(text(t, path))
	put := func(data []byte) {
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	defer put(whole)
	if err := read(); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		flipped := []byte(string(whole))
		flipped[i] ^= 1 << (i % 8)
		put(flipped)
		if err := read(); err == nil {
			t.Errorf("%s with byte %d flipped was read: %q", path, i, flipped)
		}
		put(whole[:i])
		if err := read(); err == nil {
			t.Errorf("%s cut to %d bytes was read", path, i)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
