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

// An Env is the environment of runs.
type Env struct {
	Device   *backend.Device
	Hub      *hub.Client  // fetches models and data with ids on the hub
	Cache    string       // folder for the reference's log-probabilities
	Progress run.Progress // gets every phase, and lines about the data
	// Notef gets notes for the user about a model or data, such as dropped prompts.
	Notef func(format string, args ...any)
}

// A Request describes the run to start: a new one with a recipe, or one to resume.
type Request struct {
	Recipe string   // TOML file of a new run; "": Set has everything
	Set    []string // overrides of the recipe, KEY=VALUE
	Out    string   // run folder of a new run; "": [DefaultDir]
	// Resume is the folder of a stopped run, which has its own recipe. Set may then override its mesh
	// alone.
	Resume string
}

// DefaultDir is the default output folder for a recipe or grid.
func DefaultDir(recipe string) string {
	return filepath.Join("runs", strings.TrimSuffix(filepath.Base(recipe), ".toml"))
}

// check finds conflicting settings.
func (q Request) check(verb run.Verb) error {
	keys := "-set model.path=DIR and -set data.train=FILE"
	if verb == run.VerbRLHF {
		keys = "-set model.path=DIR, -set rlhf.rewards=DIR and -set data.train=FILE"
	}
	switch {
	case q.Resume != "" && (q.Recipe != "" || q.Out != "" || !recipe.OnlyMesh(q.Set)):
		return fmt.Errorf("%w: -resume takes its recipe from the run folder: give no recipe, -out or "+
			"-set with it, except -set mesh.data=N and -set mesh.shard=N", ErrUsage)
	case q.Resume == "" && q.Recipe == "" && (q.Out == "" || len(q.Set) == 0):
		return fmt.Errorf("%w: give a recipe, or without one -out DIR with %s", ErrUsage, keys)
	}
	return nil
}

// Session returns the session of the run and the recipe of a new run, which is nil for a resumed
// one. It reads the recipe and checks the folder, and loads nothing.
func (q Request) Session(verb run.Verb) (*run.Session, *recipe.Recipe, error) {
	if err := q.check(verb); err != nil {
		return nil, nil, err
	}
	if q.Resume != "" {
		if err := recipe.CheckSets(q.Set); err != nil {
			return nil, nil, err
		}
		s, err := run.Resume(verb, q.Resume)
		if err == nil {
			s.Set = q.Set
		}
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

// A job is a run with everything loaded. R is the type of its result.
type job[R any] interface {
	manifest() (*recipe.Manifest, error)
	run(ctx context.Context, folder *run.Folder, fingerprint string) (R, error)
	close()
}

// perform takes a session from its recipe to its end: it fetches and loads what the recipe names,
// makes the folder of a new run or checks that a resumed one is unchanged, and runs. r is the
// recipe of a new run. It releases the folder. An error says how to resume.
func perform[R any](
	ctx context.Context, env Env, s *run.Session, r *recipe.Recipe,
	load func(Env, *recipe.Recipe) (job[R], error),
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
		if r, err = before.Recipe.With(s.Set); err != nil {
			return result, err
		}
	} else if err := r.Fetch(ctx, env.Hub); err != nil {
		return result, err
	}
	data, err := r.DataHashes()
	if err != nil {
		return result, err
	}
	on, err := env.Device.OnMesh(r.Mesh.Devices())
	if err != nil {
		return result, err
	}
	if on != env.Device {
		env.Device = on
		defer on.Finalize()
	}
	j, err := load(env, r)
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

// begin makes the folder of a new run, or checks that a resumed one is unchanged.
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

// unchanged returns an error if data changed while it was read, because the manifest would have the
// hash of other rows.
func unchanged(before, after []run.DataFile) error {
	for i, d := range before {
		if i >= len(after) || after[i] != d {
			return fmt.Errorf("launch: %s has changed while it was read: start again when nothing writes "+
				"to it", d.Path)
		}
	}
	return nil
}

// explainMemory adds to the error of a device out of memory how to lower the need.
func explainMemory(err error) error {
	if !backend.OutOfMemory(err) {
		return err
	}
	return fmt.Errorf("%w; the device has no memory left: end other programs on it, or start a new "+
		"run with a lower train.tokens_per_batch or a lower model.max_length; haf train -plan says "+
		"what a recipe needs", err)
}
