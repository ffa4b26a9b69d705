package launch_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"haf/hub"
	"haf/launch"
	"haf/recipe"
	"haf/reward"
	"haf/rewarder"
)

// TestSources opens sources whose models are not there: names, settings and order arrive, and a
// failure is no reward.
func TestSources(t *testing.T) {
	errOpen := errors.New("not today")
	told := &lines{}
	var opened []string
	var got reward.Options
	sources := launch.Sources{
		Model: func(_ context.Context, name string, opt reward.Options) (*reward.Model, error) {
			opened, got = append(opened, name), opt
			return nil, errOpen
		},
		Hub: func() (*hub.Client, error) {
			return &hub.Client{Offline: true, Cache: t.TempDir()}, nil
		},
		Progress: told, Notef: told.Logf,
	}
	a, b, gone := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "gone")
	reading := launch.SourceReading{Options: reward.Options{MaxLength: 7}}
	if _, err := sources.OpenRewarder(t.Context(), []string{a}, reading); !errors.Is(err, errOpen) ||
		got.MaxLength != 7 {
		t.Errorf("one model: %v, opened with %+v", err, got)
	}
	reading.Rule.Name, opened = rewarder.Mean, nil
	_, err := sources.OpenRewarder(t.Context(), []string{b, a}, reading)
	if !errors.Is(err, errOpen) || len(opened) != 1 || opened[0] != b {
		t.Errorf("an ensemble: %v, opened %q", err, opened)
	}
	reading.Once, opened = true, nil
	once, err := sources.OpenRewarder(t.Context(), []string{a, b}, reading)
	if err != nil || len(opened) != 0 {
		t.Fatalf("an ensemble that is read once: %v, opened %q", err, opened)
	}
	if _, err := once.Read(t.Context(), nil, nil); !errors.Is(err, errOpen) ||
		len(opened) != 1 || opened[0] != a || !told.has("member: "+a) {
		t.Errorf("reading it: %v, opened %q, told %q", err, opened, *told)
	}
	if err := sources.Look(t.Context(), launch.SourceSettings{}, a, b); err != nil {
		t.Errorf("looking for folders: %v", err)
	}
	err = sources.Look(t.Context(), launch.SourceSettings{}, a, gone)
	if err == nil || !strings.Contains(err.Error(), gone) {
		t.Errorf("looking for a folder that is not there: %v", err)
	}
	// a server that is not there, within the time that the recipe gives it
	r := recipe.Reward{Source: "http://127.0.0.1:1", Timeout: 0.5, Concurrency: 1}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := sources.Reach(ctx, r); err == nil || !strings.Contains(err.Error(), r.Source) {
		t.Errorf("reaching a server that is not there: %v", err)
	}
	r.Source = a
	if from, err := sources.Open(t.Context(), r); !errors.Is(err, errOpen) || from != nil {
		t.Errorf("a model that does not open: %v, %v", from, err)
	}
}
