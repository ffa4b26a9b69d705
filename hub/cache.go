package hub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/renameio/v2"
)

// The cache's layout is the Python client's: CACHE/models--org--name/{blobs/ETAG, refs/REVISION,
// snapshots/COMMIT/FILE}, where a ref's content is a commit and a snapshot's file is a link to its
// blob; locks are in CACHE/.locks.

// etagForm keeps an etag inside the folder of blobs.
var etagForm = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z_.-]{0,199}$`)

func (c *Client) repository(ref Ref) string { return filepath.Join(c.Cache, ref.folder()) }

func (c *Client) snapshot(ref Ref, commit string) string {
	return filepath.Join(c.repository(ref), "snapshots", commit)
}

func (c *Client) blob(ref Ref, etag string) string {
	return filepath.Join(c.repository(ref), "blobs", etag)
}

func (c *Client) lockPath(ref Ref, etag string) string {
	return filepath.Join(c.Cache, ".locks", ref.folder(), etag+".lock")
}

// commit returns what the revision stood for when it was last fetched, "" where it never was.
func (c *Client) commit(ref Ref) string {
	if commitForm.MatchString(ref.Revision) {
		return ref.Revision
	}
	data, err := os.ReadFile(filepath.Join(c.repository(ref), "refs", filepath.FromSlash(ref.Revision)))
	if err != nil {
		return ""
	}
	if commit := strings.TrimSpace(string(data)); commitForm.MatchString(commit) {
		return commit
	}
	return ""
}

// setCommit notes what the revision stands for. It is done last: until a snapshot is whole, the one
// before is used.
func (c *Client) setCommit(ref Ref, commit string) error {
	if ref.Revision == commit || c.commit(ref) == commit {
		return nil
	}
	path := filepath.Join(c.repository(ref), "refs", filepath.FromSlash(ref.Revision))
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = renameio.WriteFile(path, []byte(commit), 0o644)
	}
	if err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	return nil
}

// link makes a snapshot's file of a blob: a relative link, so that the cache may be moved.
func (c *Client) link(ref Ref, commit, name, etag string) error {
	path, blob := filepath.Join(c.snapshot(ref, commit), filepath.FromSlash(name)), c.blob(ref, etag)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	to, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	// A link without its blob is left where a cache was cleaned by hand.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hub: cache: %w", err)
	}
	err = os.Symlink(to, path)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process was faster
	}
	if err != nil { // a disk without links: like the Python client, move the blob
		err = os.Rename(blob, path)
	}
	if err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	return nil
}

// cachedModel returns the snapshot of a model that is in the cache with all its weights.
func (c *Client) cachedModel(ref Ref) (Source, bool) {
	commit := c.commit(ref)
	if commit == "" {
		return Source{}, false
	}
	dir := c.snapshot(ref, commit)
	here := func(name string) bool { return exists(filepath.Join(dir, filepath.FromSlash(name))) }
	s := Source{Commit: commit, Paths: []string{dir}}
	switch {
	case ref.File != "":
		s.Paths = []string{filepath.Join(dir, filepath.FromSlash(ref.File))}
		return s, here(ref.File)
	case here(adapterConfigName):
		return s, here(adapterWeightsName)
	case !here(configName):
		return s, false
	case here(weightsName):
		return s, true
	}
	if index, err := os.ReadFile(filepath.Join(dir, indexName)); err == nil {
		shards, err := shardsOf(index)
		return s, err == nil && !slices.ContainsFunc(shards, func(name string) bool { return !here(name) })
	}
	other, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.safetensors"))
	return s, err == nil && len(other) > 0
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// cachedData returns those files of a data set that are in the cache, if they are what was asked
// for.
func (c *Client) cachedData(ref Ref) (Source, bool) {
	commit := c.commit(ref)
	if commit == "" {
		return Source{}, false
	}
	dir := c.snapshot(ref, commit)
	var files []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && exists(path) {
			var name string
			if name, err = filepath.Rel(dir, path); err == nil {
				files = append(files, filepath.ToSlash(name))
			}
		}
		return err
	})
	if err != nil {
		return Source{}, false
	}
	names, err := dataFiles(ref, files)
	return Source{Commit: commit, Paths: paths(dir, names)}, err == nil
}

// paths joins the files' names to their folder.
func paths(dir string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return out
}
