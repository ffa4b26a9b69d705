package launch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/tracking"
	"haf/internal/wholefile"
	"haf/recipe"
	"haf/run"
)

// mlflowURI is the address of MLflow's server.
func mlflowURI(t recipe.Tracking) string {
	return cmp.Or(t.MLflowURI, os.Getenv("MLFLOW_TRACKING_URI"))
}

// CheckTracker returns an error unless the URI can be that of an MLflow server.
func CheckTracker(uri string) error { return tracking.CheckURI(uri) }

// reachTrackers returns an error if a tracker of a new run is unavailable, before the run has a
// folder. warnf gets a warning about one that does not answer yet.
func reachTrackers(
	ctx context.Context, t recipe.Tracking, warnf func(string, ...any),
) error {
	if !slices.Contains(t.ReportTo, tracking.MLflow) {
		return nil
	}
	return tracking.ReachMLflow(ctx, mlflowURI(t), warnf)
}

// trackedRun returns the description of a run that trackers get.
func trackedRun(dir string, m *recipe.Manifest) (tracking.Run, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return tracking.Run{}, err
	}
	t := m.Recipe.Tracking
	return tracking.Run{
		Dir: dir, Project: cmp.Or(t.Project, "haf"), Name: cmp.Or(t.RunName, filepath.Base(absolute)),
		Params: m.Recipe.Params(), Started: m.Created, URI: mlflowURI(t),
	}, nil
}

// follow opens the run's trackers and sends them every record. finish tells them how the run ended.
// Without trackers it does nothing.
func follow(
	ctx context.Context, env Env, s *run.Session, m *recipe.Manifest,
) (finish func(error), err error) {
	names := m.Recipe.Tracking.ReportTo
	if len(names) == 0 {
		return func(error) {}, nil
	}
	of, err := trackedRun(s.Dir, m)
	if err != nil {
		return nil, err
	}
	tracker, err := tracking.Open(ctx, of, names, env.Progress.Logf)
	if err != nil {
		return nil, err
	}
	s.Folder.Follow(func(line []byte) { tracker.Replay(line) }, tracker.Record)
	return func(ended error) {
		status := tracking.Finished
		switch {
		case errors.Is(ended, run.ErrInterrupted):
			status = tracking.Interrupted
		case ended != nil:
			status = tracking.Failed
		}
		if err := tracker.Finish(status); err != nil {
			env.Progress.Logf("warning: %v; send them with: haf track %s", err, s.Dir)
		}
	}, nil
}

// Tracked describes the result of [Track].
type Tracked struct {
	Records int               `json:"records"` // lines of metrics.jsonl
	To      map[string]string `json:"to"`      // folder or server, by tracker
}

func (t Tracked) String() string {
	var to []string
	for _, name := range slices.Sorted(maps.Keys(t.To)) {
		to = append(to, fmt.Sprintf("%s (%s)", name, t.To[name]))
	}
	return fmt.Sprintf("%d records sent to %s", t.Records, strings.Join(to, ", "))
}

// Track sends all records of a run on disk to trackers, including those sent before. Empty names
// and uri mean those of the run's recipe.
func Track(
	ctx context.Context, dir string, names []string, uri string,
	warnf func(format string, args ...any),
) (out Tracked, err error) {
	out.To = map[string]string{}
	release, err := run.Claim(dir)
	if err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, release()) }()
	m, err := recipe.ReadManifest(dir)
	if err != nil {
		return out, err
	}
	if len(names) == 0 {
		names = m.Recipe.Tracking.ReportTo
	}
	if len(names) == 0 {
		return out, fmt.Errorf("launch: the recipe of %s names no tracker: choose with -to", dir)
	}
	of, err := trackedRun(dir, m)
	if err != nil {
		return out, err
	}
	of.URI = cmp.Or(uri, of.URI)
	data, err := wholefile.Read(filepath.Join(dir, run.MetricsName), wholefile.Records)
	if err != nil {
		return out, fmt.Errorf("launch: %w", err)
	}
	tracker, err := tracking.Open(ctx, of, names, warnf)
	if err != nil {
		return out, err
	}
	for _, name := range names {
		out.To[name] = of.Place(name)
	}
	for line := range bytes.Lines(data) {
		if bytes.HasSuffix(line, []byte{'\n'}) { // the last line may be cut off
			if tracker.Replay(line) {
				out.Records++
			}
		}
	}
	status := tracking.Interrupted
	if run.Finished(dir) {
		status = tracking.Finished
	}
	return out, tracker.Finish(status)
}
