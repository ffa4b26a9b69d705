package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"haf/internal/durable"
	"haf/internal/splits"
	"haf/internal/wholefile"
)

// The cache has the layout of the Python client: CACHE/models--org--name/{blobs/ETAG,
// refs/REVISION, snapshots/COMMIT/FILE}. A ref contains a commit, and a snapshot's file is a link
// to its blob. Locks are in CACHE/.locks.

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

// commit returns the commit of the revision when it was last fetched, or "".
func (c *Client) commit(ref Ref) string {
	if commitForm.MatchString(ref.Revision) {
		return ref.Revision
	}
	data, err := wholefile.Read(filepath.Join(c.repository(ref), "refs",
		filepath.FromSlash(ref.Revision)), wholefile.Settings)
	if err != nil {
		return ""
	}
	if commit := strings.TrimSpace(string(data)); commitForm.MatchString(commit) {
		return commit
	}
	return ""
}

// setCommit records the commit of the revision. It comes last, so that the previous snapshot is
// used until the new one is complete.
func (c *Client) setCommit(ref Ref, commit string) error {
	if ref.Revision == commit || c.commit(ref) == commit {
		return nil
	}
	path := filepath.Join(c.repository(ref), "refs", filepath.FromSlash(ref.Revision))
	err := durable.MkdirAll(filepath.Dir(path))
	if err == nil {
		err = durable.WriteFile(path, []byte(commit))
	}
	if err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	return nil
}

// link puts a blob into a snapshot: by a relative link, so that the cache can be moved.
func (c *Client) link(ref Ref, commit, name, etag string) error {
	path, blob := filepath.Join(c.snapshot(ref, commit), filepath.FromSlash(name)), c.blob(ref, etag)
	if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	to, err := filepath.Rel(filepath.Dir(path), blob)
	if err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	// Cleaning a cache by hand can leave a link without its blob.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hub: cache: %w", err)
	}
	err = os.Symlink(to, path)
	if errors.Is(err, fs.ErrExist) {
		return nil // another process has made it
	}
	if err != nil { // a disk without links: like the Python client, move the blob
		err = durable.Rename(blob, path)
	}
	if err != nil {
		return fmt.Errorf("hub: cache: %w", err)
	}
	return nil
}

// cachedModel returns the snapshot of a model if the cache has it with all its weights.
func (c *Client) cachedModel(ref Ref) (Found, bool) {
	commit := c.commit(ref)
	if commit == "" {
		return Found{}, false
	}
	dir := c.snapshot(ref, commit)
	here := func(name string) bool { return exists(filepath.Join(dir, filepath.FromSlash(name))) }
	s := Found{Commit: commit, Paths: []string{dir}}
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
	if index, err := wholefile.Read(filepath.Join(dir, indexName), wholefile.Vocabulary); err == nil {
		shards, err := shardsOf(index)
		return s, err == nil && !slices.ContainsFunc(shards,
			func(name string) bool { return !here(name) })
	}
	other, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*.safetensors"))
	return s, err == nil && len(other) > 0
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// cachedData returns the data-set files that a ref names, with whole if all are in the cache. sure
// is false if another program fetched the snapshot, so that the list of files may be incomplete. An
// error says that the data set, whose list of files is complete, has no such files.
func (c *Client) cachedData(ref Ref) (s Found, whole, sure bool, err error) {
	commit := c.commit(ref)
	if commit == "" {
		return Found{}, false, false, nil
	}
	dir := c.snapshot(ref, commit)
	files, sure := c.listed(ref, commit)
	if !sure {
		files = filesIn(dir)
	}
	var readme []byte
	if needsReadMe(ref, files) {
		if readme, err = wholefile.Read(filepath.Join(dir, splits.ReadMe),
			wholefile.Settings); err != nil {
			return Found{}, false, false, nil
		}
	}
	names, err := dataFiles(ref, files, readme)
	switch {
	case err != nil && sure:
		return Found{}, false, true, err
	case err != nil:
		return Found{}, false, false, nil
	}
	s = Found{Commit: commit, Paths: paths(dir, names)}
	sure = sure || len(names) == 1 && names[0] == ref.File
	return s, !slices.ContainsFunc(s.Paths, func(path string) bool { return !exists(path) }), sure, nil
}

// filesIn lists the files of a snapshot that exist.
func filesIn(dir string) []string {
	var files []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && exists(path) {
			if name, err := filepath.Rel(dir, path); err == nil {
				files = append(files, filepath.ToSlash(name))
			}
		}
		return nil // an unreadable folder has none
	})
	return files
}

// The names of a data set's files at a commit are stored beside its snapshots, because a snapshot
// has only the fetched files.
func (c *Client) listPath(ref Ref, commit string) string {
	return filepath.Join(c.repository(ref), "haf", commit+".json")
}

func (c *Client) setListed(ref Ref, list listing) error {
	path := c.listPath(ref, list.commit)
	if exists(path) {
		return nil
	}
	data, err := json.Marshal(list.files)
	if err == nil {
		err = durable.MkdirAll(filepath.Dir(path))
	}
	if err == nil {
		err = durable.WriteFile(path, data)
	}
	if err != nil {
		return c.onDisk(err)
	}
	return nil
}

func (c *Client) listed(ref Ref, commit string) (files []string, ok bool) {
	data, err := wholefile.Read(c.listPath(ref, commit), wholefile.Vocabulary)
	if err != nil || json.Unmarshal(data, &files) != nil {
		return nil, false
	}
	return files, !slices.ContainsFunc(files, func(name string) bool { return !local(name) })
}

// paths joins the names of files to their folder.
func paths(dir string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = filepath.Join(dir, filepath.FromSlash(name))
	}
	return out
}
