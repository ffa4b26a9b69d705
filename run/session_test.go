package run_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"haf/run"
)

// TestSession takes a run through its start, an interrupt, a failure and its resumption.
func TestSession(t *testing.T) {
	for verb, command := range map[run.Verb]string{
		run.VerbTrain: "haf train -resume ", run.VerbRLHF: "haf rlhf -resume ",
	} {
		dir := t.TempDir()
		s, err := run.Start(verb, dir)
		if err != nil {
			t.Fatal(err)
		}
		failed := errors.New("failed")
		if got := s.Explain(failed); got != failed {
			t.Errorf("before there is a folder: %v", got)
		}
		if got := s.Explain(context.Canceled); got != context.Canceled {
			t.Errorf("interrupted before there is a folder: %v", got)
		}
		if err := s.Create(run.Manifest[string]{Format: run.ManifestFormat, Verb: verb,
			Recipe: "r"}); err != nil {
			t.Fatal(err)
		}
		got := s.Explain(fmt.Errorf("step 3: %w", run.ErrInterrupted))
		if !errors.Is(got, run.ErrInterrupted) || !strings.HasSuffix(got.Error(), "run: "+command+dir) {
			t.Errorf("interrupted: %v", got)
		}
		got = s.Explain(failed)
		if !errors.Is(got, failed) || !strings.HasSuffix(got.Error(), "with: "+command+dir) {
			t.Errorf("failed: %v", got)
		}
		if _, err := run.Start(verb, dir); err == nil || !strings.Contains(err.Error(), "holds a run") {
			t.Errorf("started again: %v", err)
		}

		if err := s.Folder.Close(); err != nil {
			t.Fatal(err)
		}
		resumed, err := run.Resume(verb, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer resumed.Folder.Close()
		if !resumed.Resumed || resumed.Folder.Path != dir {
			t.Errorf("resumed %+v", resumed)
		}
		if got := resumed.Explain(context.Canceled); !strings.Contains(got.Error(), command+dir) {
			t.Errorf("interrupted while it was loading: %v", got)
		}
		if got := resumed.Explain(failed); got != failed {
			t.Errorf("failed while it was loading: %v", got)
		}
		if err := resumed.Continue(false); err == nil || !strings.Contains(err.Error(), "have changed") {
			t.Errorf("another run: %v", err)
		}
		if err := resumed.Continue(true); err != nil || resumed.Explain(failed) == failed {
			t.Errorf("the same run: %v", err)
		}
		lost := fmt.Errorf("start over: %w", run.ErrNoCheckpoint)
		if got := resumed.Explain(lost); got != lost {
			t.Errorf("without an intact checkpoint: %v", got)
		}
	}
}

// TestResumeOtherVerb names the command that resumes the run.
func TestResumeOtherVerb(t *testing.T) {
	dir := t.TempDir()
	folder, err := run.Create(dir, run.Manifest[string]{Format: run.ManifestFormat,
		Verb: run.VerbRLHF})
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	_, err = run.Resume(run.VerbTrain, dir)
	if err == nil || !strings.Contains(err.Error(), "haf rlhf -resume "+dir) {
		t.Errorf("got %v", err)
	}
	if _, err := run.Resume(run.VerbTrain, t.TempDir()); err == nil {
		t.Error("a folder without a run was resumed")
	}
}

// TestFormat refuses the folder of another haf, and says what can be done with it.
func TestFormat(t *testing.T) {
	for format, want := range map[int]string{
		run.ManifestFormat - 1: "or train into a new folder",
		run.ManifestFormat + 1: "use that haf",
	} {
		dir := t.TempDir()
		manifest := fmt.Sprintf(`{"format": %d, "recipe": {"train": {"positions": 512}}}`, format)
		if err := os.WriteFile(filepath.Join(dir, run.ManifestName), []byte(manifest),
			0o644); err != nil {
			t.Fatal(err)
		}
		_, err := run.ReadManifest(dir, "")
		if err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), fmt.Sprintf("format %d, want %d", format, run.ManifestFormat)) {
			t.Errorf("ReadManifest of format %d: %v", format, err)
		}
		if _, resumed := run.Resume(run.VerbTrain, dir); resumed == nil ||
			resumed.Error() != err.Error() {
			t.Errorf("Resume of format %d: %v, want %v", format, resumed, err)
		}
	}
}
