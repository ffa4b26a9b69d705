package hub

import (
	"context"
	"path/filepath"
)

// Tokenizer is Model for callers that need only the configuration and the tokenizer.
func (c *Client) Tokenizer(ctx context.Context, path string) (Found, error) {
	if exists(path) {
		return Found{Named: path, Paths: []string{path}}, nil
	}
	ref, ok, err := modelRef(path)
	if err != nil || !ok {
		return Found{Named: path, Paths: []string{path}}, err
	}
	s, err := c.tokenizer(ctx, ref)
	return s.of(path, ref), noLocal(path, err)
}

// tokenizer returns a folder with the configuration and the tokenizer of a model, and fetches
// missing files of these. It fetches no weights.
func (c *Client) tokenizer(ctx context.Context, ref Ref) (Found, error) {
	cached := Found{Commit: c.commit(ref)}
	cached.Paths = []string{c.snapshot(ref, cached.Commit)}
	whole := cached.Commit != "" && exists(filepath.Join(cached.Paths[0], tokenizerName))
	if whole && commitForm.MatchString(ref.Revision) {
		return cached, nil
	}
	list, err := c.listOrCached(ctx, ref, whole)
	if err != nil || list.commit == "" {
		return cached, err
	}
	names := small(list.files)
	if err := c.fetch(ctx, ref, list.commit, names, "configuration and tokenizer"); err != nil {
		return Found{}, err
	}
	got := Found{Commit: list.commit, Paths: []string{c.snapshot(ref, list.commit)}}
	if _, model := c.cachedModel(ref); model {
		return got, nil // the revision stays that of the cached weights
	}
	return got, c.setCommit(ref, list.commit)
}
