package doctor_test

import (
	"errors"
	"path/filepath"
	"testing"

	"haf/backend"
	"haf/doctor"
	"haf/hub"
	"haf/pref"
	"haf/recipe"
)

// TestExamine tells data from models, on disk and on the hub, and opens a device for models alone.
func TestExamine(t *testing.T) {
	demo, err := recipe.WriteDemo(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	opt := doctor.Options{
		Data: pref.Options{Format: "auto", NonText: "error"},
		Hub:  &hub.Client{Offline: true, Cache: t.TempDir()},
		OpenDevice: func() (*backend.Device, error) {
			opened++
			return backend.Open("go")
		},
	}
	for path, want := range map[string]doctor.Kind{
		demo.Test: doctor.KindData, demo.Base: doctor.KindModel,
	} {
		report, err := doctor.Examine(t.Context(), path, opt)
		if err != nil || report.Kind != want || len(report.Checks) == 0 {
			t.Errorf("%s: %+v, %v", path, report, err)
		}
	}
	if opened != 1 {
		t.Errorf("a device was opened %d times", opened)
	}
	for _, id := range []string{"org/name", "datasets/org/name/x.jsonl"} {
		if _, err := doctor.Examine(t.Context(), id, opt); !errors.Is(err, hub.ErrOffline) {
			t.Errorf("%s: %v", id, err)
		}
	}
	named := opt
	named.Data.SkipBad = 1
	if _, err := doctor.Examine(t.Context(), demo.Base, named); !errors.Is(err, doctor.ErrNotData) {
		t.Errorf("a model with options of data: %v", err)
	}
	opt.Against = []string{demo.Test}
	if _, err := doctor.Examine(t.Context(), demo.Base, opt); !errors.Is(err, doctor.ErrNotData) {
		t.Errorf("a model against data: %v", err)
	}
	report, err := doctor.Examine(t.Context(), demo.Train, opt)
	if err != nil || report.Kind != doctor.KindData {
		t.Errorf("data against data: %+v, %v", report, err)
	}
	nowhere := filepath.Join(t.TempDir(), "x.jsonl")
	if _, err := doctor.Examine(t.Context(), nowhere, opt); err == nil {
		t.Error("nothing was examined")
	}
}
