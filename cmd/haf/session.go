package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"haf/recipe"
	"haf/run"
)

// sessionFlags are the flags by which haf train and haf rlhf start a run or resume one.
type sessionFlags struct {
	recipe, out string
	set         []string
	resume      string
}

// session returns what the flags ask for: a new run, whose recipe passes check, or one to be
// resumed, which has a recipe of its own. keys are those that a run without a recipe file must set.
func (f sessionFlags) session(
	verb run.Verb, keys string, check func(*recipe.Recipe) error,
) (*run.Session, *recipe.Recipe, error) {
	if f.resume != "" {
		if f.recipe != "" || f.out != "" || len(f.set) > 0 {
			return nil, nil, fmt.Errorf("%w: -resume takes its recipe from the run folder: "+
				"give no recipe, -out or -set with it", errUsage)
		}
		s, err := run.Resume(verb, f.resume)
		return s, nil, err
	}
	if f.recipe == "" && (f.out == "" || len(f.set) == 0) {
		return nil, nil, fmt.Errorf("%w: give a recipe, or without one -out DIR with %s",
			errUsage, keys)
	}
	r, err := recipe.Load(f.recipe, f.set)
	if err != nil {
		return nil, nil, err
	}
	if err := check(r); err != nil {
		return nil, nil, err
	}
	if f.out == "" {
		f.out = filepath.Join("runs", strings.TrimSuffix(filepath.Base(f.recipe), ".toml"))
	}
	s, err := run.Start(verb, f.out) // before minutes go into loading
	return s, r, err
}

// A job is a run with everything loaded. Its result is an R.
type job[R any] interface {
	manifest() (*recipe.Manifest, error)
	run(folder *run.Folder, fingerprint string) (R, error)
	close()
}

// perform takes a session from its recipe to its end: it fetches what the recipe names, loads it,
// makes the folder of a new run or checks that a resumed one is the same, and runs. r is the recipe
// of a new run. An error says how to resume.
func perform[R any](
	a *app, s *run.Session, r *recipe.Recipe, load func(*recipe.Recipe) (job[R], error),
) (result R, err error) {
	defer func() { err = s.Explain(err) }()
	client, err := a.hub()
	if err != nil {
		return result, err
	}
	var before *recipe.Manifest
	if s.Resumed {
		if before, err = recipe.ReadManifest(s.Dir); err != nil {
			return result, err
		}
		if err := before.Fetch(a.ctx, client); err != nil {
			return result, err
		}
		r = before.Recipe
	} else if err := r.Fetch(a.ctx, client); err != nil {
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
	if !s.Resumed {
		if err := s.Create(manifest); err != nil {
			return result, err
		}
		return j.run(s.Folder, manifest.Fingerprint)
	}
	same, err := manifest.SameRun(before)
	if err != nil {
		return result, err
	}
	if err := s.Continue(same); err != nil {
		return result, err
	}
	return j.run(s.Folder, before.Fingerprint)
}
