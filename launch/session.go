package launch

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"haf/backend"
	"haf/hub"
	"haf/internal/interrupt"
	"haf/recipe"
	"haf/run"
)

// An Env is what runs are made with.
type Env struct {
	Device   *backend.Device
	Hub      *hub.Client  // fetches models and data that a recipe names by ids
	Cache    string       // folder for the reference's log-probabilities
	Progress run.Progress // told of every phase, and of what was read
	// Notef is told what a user should know of a model or of the data, such as dropped prompts.
	Notef func(format string, args ...any)
}

// A Request says which run is wanted: a new one by a recipe, or one to be resumed.
type Request struct {
	Recipe string   // TOML file of a new run; "": Set has all of it
	Set    []string // overrides of the recipe, KEY=VALUE
	Out    string   // run folder of a new run; "": that of [DefaultDir]
	Resume string   // folder of the stopped run, which has a recipe of its own
}

// DefaultDir is the folder of what a recipe or grid makes where the user names none.
func DefaultDir(recipe string) string {
	return filepath.Join("runs", strings.TrimSuffix(filepath.Base(recipe), ".toml"))
}

// check looks at what does not go together.
func (q Request) check(verb run.Verb) error {
	keys := "-set model.path=DIR and -set data.train=FILE"
	if verb == run.VerbRLHF {
		keys = "-set model.path=DIR, -set rlhf.rewards=DIR and -set data.train=FILE"
	}
	switch {
	case q.Resume != "" && (q.Recipe != "" || q.Out != "" || len(q.Set) > 0):
		return fmt.Errorf("%w: -resume takes its recipe from the run folder: give no recipe, -out or "+
			"-set with it", ErrUsage)
	case q.Resume == "" && q.Recipe == "" && (q.Out == "" || len(q.Set) == 0):
		return fmt.Errorf("%w: give a recipe, or without one -out DIR with %s", ErrUsage, keys)
	}
	return nil
}

// Session returns the session of the wanted run and the recipe of a new one, nil for one that is
// resumed. It reads the recipe and looks at the folder, and loads nothing.
func (q Request) Session(verb run.Verb) (*run.Session, *recipe.Recipe, error) {
	if err := q.check(verb); err != nil {
		return nil, nil, err
	}
	if q.Resume != "" {
		s, err := run.Resume(verb, q.Resume)
		return s, nil, err
	}
	r, err := recipe.Load(q.Recipe, q.Set)
	if err != nil {
		return nil, nil, err
	}
	check := r.ForTrain
	if verb == run.VerbRLHF {
		check = r.ForRLHF
	}
	if err := check(); err != nil {
		return nil, nil, err
	}
	dir := q.Out
	if dir == "" {
		dir = DefaultDir(q.Recipe)
	}
	s, err := run.Start(verb, dir)
	return s, r, err
}

// A job is a run with everything loaded. Its result is an R.
type job[R any] interface {
	manifest() (*recipe.Manifest, error)
	run(ctx context.Context, folder *run.Folder, fingerprint string) (R, error)
	close()
}

// perform takes a session from its recipe to its end: it fetches what the recipe names, loads it,
// makes the folder of a new run or checks that a resumed one is the same, and runs. r is the recipe
// of a new run. It releases the folder. An error says how to resume.
func perform[R any](
	ctx context.Context, env Env, s *run.Session, r *recipe.Recipe,
	load func(*recipe.Recipe) (job[R], error),
) (result R, err error) {
	defer func() {
		if failed := s.Close(); err == nil {
			err = failed
		}
		err = s.Explain(explainMemory(err))
	}()
	var before *recipe.Manifest
	if s.Resumed {
		if before, err = recipe.ReadManifest(s.Dir); err != nil {
			return result, err
		}
		if err := before.Fetch(ctx, env.Hub); err != nil {
			return result, err
		}
		r = before.Recipe
	} else if err := r.Fetch(ctx, env.Hub); err != nil {
		return result, err
	}
	data, err := r.DataHashes()
	if err != nil {
		return result, err
	}
	j, err := load(r)
	if err != nil {
		return result, err
	}
	defer j.close()
	manifest, err := j.manifest()
	if err != nil {
		return result, err
	}
	if err := unchanged(data, manifest.Data); err != nil {
		return result, err
	}
	defer interrupt.Hold()() // until a checkpoint is saved
	if err := begin(ctx, env, s, manifest, before); err != nil {
		return result, err
	}
	if before != nil {
		manifest = before
	}
	finish, err := follow(ctx, env, s, manifest)
	if err != nil {
		return result, err
	}
	defer func() { finish(err) }()
	return j.run(ctx, s.Folder, manifest.Fingerprint)
}

// begin makes the folder of a new run, or checks that a resumed one is the same as before.
func begin(
	ctx context.Context, env Env, s *run.Session, manifest, before *recipe.Manifest,
) error {
	if !s.Resumed {
		if err := reachTrackers(ctx, manifest.Recipe.Tracking, env.Progress.Logf); err != nil {
			return err
		}
		return s.Create(manifest)
	}
	same, err := manifest.SameRun(before)
	if err != nil {
		return err
	}
	return s.Continue(same)
}

// unchanged returns an error if data has changed while it was read: the manifest would have the
// hash of other rows than those that were read.
func unchanged(before, after []run.DataFile) error {
	for i, d := range before {
		if i >= len(after) || after[i] != d {
			return fmt.Errorf("launch: %s has changed while it was read: start again when nothing writes "+
				"to it", d.Path)
		}
	}
	return nil
}

// explainMemory adds to the error of a device that has no memory left what lowers the need.
func explainMemory(err error) error {
	if !backend.OutOfMemory(err) {
		return err
	}
	return fmt.Errorf("%w; the device has no memory left: end other programs on it, or start a new "+
		"run with a lower train.tokens_per_batch or a lower model.max_length; haf train -plan says "+
		"what a recipe needs", err)
}
