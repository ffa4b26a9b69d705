package recipe

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"haf/chat"
	"haf/hub"
	"haf/pref"
	"haf/rewarder/source"
	"haf/run"
)

// Fetch replaces ids on the hub by files and folders on disk, in model.path, the sources of
// rlhf.rewards, rlhf.critic, data.train and data.valid.
func (r *Recipe) Fetch(ctx context.Context, client *hub.Client) error {
	type getter func(context.Context, string) (hub.Found, error)
	one := func(key, named string, get getter) ([]string, error) {
		s, err := get(ctx, named)
		if err != nil {
			return nil, fmt.Errorf("recipe: %s: %w", key, err)
		}
		if s.ID != "" {
			r.sources = append(r.sources, run.FetchedValue{Key: key, Found: s})
		}
		return s.Paths, nil
	}
	for key, path := range r.modelPaths() {
		if *path == "" {
			continue
		}
		model, err := one(key, *path, client.Model)
		if err != nil {
			return err
		}
		*path = model[0]
	}
	for key, files := range r.dataFiles() {
		var all []string
		for _, named := range *files {
			paths, err := one(key, named, client.Data)
			if err != nil {
				return err
			}
			all = append(all, paths...)
		}
		*files = all
	}
	return nil
}

// sets puts the files of a key together that one path on the hub named: they are one set, with one
// weight.
func (r *Recipe) sets(key string, files []string) [][]string {
	var out [][]string
	for len(files) > 0 {
		n := 1
		for _, s := range r.sources {
			if s.Key == key && len(s.Paths) <= len(files) && slices.Equal(s.Paths, files[:len(s.Paths)]) {
				n = max(n, len(s.Paths))
			}
		}
		out, files = append(out, files[:n]), files[n:]
	}
	return out
}

// Fetch fetches a run's missing files from the hub again, at the same commits.
func (m *Manifest) Fetch(ctx context.Context, client *hub.Client) error {
	for i, s := range m.Hub {
		if !slices.ContainsFunc(s.Paths, missing) {
			continue
		}
		now, err := client.Restore(ctx, s.Found)
		if err != nil {
			return fmt.Errorf("recipe: %s: %w", s.Key, err)
		}
		if len(now.Paths) != len(s.Paths) {
			return fmt.Errorf("recipe: %s: %s is %d files now and was %d", s.Key, s.Named, len(now.Paths),
				len(s.Paths))
		}
		for k, old := range s.Paths {
			m.Recipe.replace(old, now.Paths[k])
		}
		m.Hub[i].Found = now
	}
	m.Recipe.sources = m.Hub
	return nil
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return err != nil
}

// replace puts one path in the place of another wherever the recipe names it.
func (r *Recipe) replace(old, now string) {
	for _, path := range r.modelPaths() {
		if *path == old {
			*path = now
		}
	}
	for _, files := range r.dataFiles() {
		for i, path := range *files {
			if path == old {
				(*files)[i] = now
			}
		}
	}
}

// modelPaths yields the models on disk or the hub by key, always in the same order; rlhf.critic may
// be "". A reward model behind a server is none of them.
func (r *Recipe) modelPaths() func(yield func(string, *string) bool) {
	return func(yield func(string, *string) bool) {
		if !yield("model.path", &r.Model.Path) {
			return
		}
		for i := range r.RLHF.Rewards {
			w := &r.RLHF.Rewards[i]
			if source.IsModel(w.Source) && !yield(fmt.Sprintf("%s[%d].source", rewardsKey, i), &w.Source) {
				return
			}
		}
		yield("rlhf.critic", &r.RLHF.Critic)
	}
}

// dataFiles yields the lists of files by key, always in the same order.
func (r *Recipe) dataFiles() func(yield func(string, *[]string) bool) {
	return func(yield func(string, *[]string) bool) {
		_ = yield("data.train", &r.Data.Train) && yield("data.valid", &r.Data.Valid)
	}
}

// absolute returns the recipe with absolute paths: a run may be resumed from anywhere.
func (r *Recipe) absolute() (*Recipe, error) {
	out := *r
	out.Data.Train, out.Data.Valid = slices.Clone(r.Data.Train), slices.Clone(r.Data.Valid)
	out.RLHF.Rewards = slices.Clone(r.RLHF.Rewards)
	var paths []*string
	for _, path := range out.modelPaths() {
		if *path != "" {
			paths = append(paths, path)
		}
	}
	templates := []*string{&out.Model.Template}
	for i := range out.RLHF.Rewards {
		templates = append(templates, &out.RLHF.Rewards[i].Template)
	}
	for _, name := range templates {
		if slices.Contains([]string{"", "auto", "model"}, *name) {
			continue
		}
		if _, err := chat.Named(*name, "", ""); err != nil { // not a built-in one: a file
			paths = append(paths, name)
		}
	}
	for i := range out.RLHF.Rewards {
		w := &out.RLHF.Rewards[i]
		if w.JudgePrompt != "" {
			paths = append(paths, &w.JudgePrompt)
		}
		if w.Tokenizer != "" && !missing(w.Tokenizer) { // not an id
			paths = append(paths, &w.Tokenizer)
		}
	}
	for _, p := range paths {
		path, err := filepath.Abs(*p)
		if err != nil {
			return nil, fmt.Errorf("recipe: %w", err)
		}
		*p = path
	}
	for _, files := range out.dataFiles() {
		for i, file := range *files {
			path, err := pref.Abs(file)
			if err != nil {
				return nil, fmt.Errorf("recipe: %w", err)
			}
			(*files)[i] = path
		}
	}
	return &out, nil
}
