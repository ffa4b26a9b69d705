package run

import (
	"context"
	"errors"
	"fmt"
)

// ErrInterrupted is returned by a run that was asked to stop, after it saved a checkpoint.
var ErrInterrupted = errors.New("interrupted; a checkpoint is saved")

// A Session is one start of the program on a run, either new or resumed.
type Session struct {
	Verb    Verb
	Dir     string
	Resumed bool
	Folder  *Folder  // nil until the run is started
	Set     []string // overrides of a resumed run's recipe, of keys that change no result

	running bool
}

// Start returns the session of a new run in dir. It writes nothing to disk: [Session.Create] does,
// once everything is loaded. It refuses a folder that holds a run.
func Start(verb Verb, dir string) (*Session, error) {
	if err := checkVacant(dir); err != nil {
		return nil, err
	}
	return &Session{Verb: verb, Dir: dir}, nil
}

// Resume returns the session of the stopped run in dir, which must be of the verb.
func Resume(verb Verb, dir string) (*Session, error) {
	of, err := readVerb(dir)
	if err != nil {
		return nil, err
	}
	s := &Session{Verb: of, Dir: dir, Resumed: true}
	if of != verb {
		return nil, fmt.Errorf("run: %s is a run of %s: to resume it, run: %s",
			dir, of.Command(), s.command())
	}
	s.Folder, err = Open(dir)
	return s, err
}

// command returns the command that resumes the run.
func (s *Session) command() string { return s.Verb.Command() + " -resume " + s.Dir }

// Create makes the folder of a new run with its manifest.
func (s *Session) Create(manifest any) (err error) {
	if s.Folder, err = Create(s.Dir, manifest); err != nil {
		return err
	}
	s.running = true
	return nil
}

// Continue resumes a stopped run. same says whether settings, models and data are those of its
// start; if not, it returns an error.
func (s *Session) Continue(same bool) error {
	if !same {
		what := "base model, template or data"
		if s.Verb == VerbRLHF {
			what = "policy, reward model, critic, template or prompts"
		}
		return fmt.Errorf("run: %s was started with another %s: they have changed on disk since; "+
			"put them back, or choose another folder", s.Dir, what)
	}
	s.running = true
	return nil
}

// Close releases the run folder, unless the loop has done so already.
func (s *Session) Close() error {
	if s.Folder == nil {
		return nil
	}
	return s.Folder.Close()
}

// Explain adds to the error of a run how to resume it. It returns an error that wraps
// [ErrNoCheckpoint] unchanged, because such a run cannot be resumed.
func (s *Session) Explain(err error) error {
	switch interrupted := errors.Is(err, ErrInterrupted) || errors.Is(err, context.Canceled); {
	case err == nil || !s.running && !(interrupted && Exists(s.Dir)),
		errors.Is(err, ErrNoCheckpoint):
		return err // nothing to resume
	case interrupted:
		return fmt.Errorf("%w; to resume, run: %s", err, s.command())
	default:
		return fmt.Errorf("%w; fix the problem, then resume from the last checkpoint with: %s",
			err, s.command())
	}
}
