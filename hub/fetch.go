package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"haf/internal/splits"
	"haf/internal/wholefile"
)

// model returns a model of the hub and fetches its missing files.
func (c *Client) model(ctx context.Context, ref Ref) (Found, error) {
	cached, whole := c.cachedModel(ref)
	// A commit never changes, so with all files in the cache no request is needed.
	if whole && commitForm.MatchString(ref.Revision) &&
		(ref.File != "" || exists(filepath.Join(cached.Paths[0], tokenizerName)) ||
			exists(filepath.Join(cached.Paths[0], adapterConfigName))) {
		return cached, nil
	}
	list, err := c.listOrCached(ctx, ref, whole)
	if err != nil || list.commit == "" {
		return cached, err
	}
	if ref.File != "" {
		if !slices.Contains(list.files, ref.File) {
			return Found{}, fmt.Errorf("hub: %s has no %s; there are %s", ref.ID, ref.File,
				some(list.files))
		}
		return c.files(ctx, ref, list.commit, []string{ref.File})
	}
	if err := refuse(ref, list.files); err != nil {
		return Found{}, err
	}
	if err := c.fetch(ctx, ref, list.commit, small(list.files),
		"configuration and tokenizer"); err != nil {
		return Found{}, err
	}
	dir := c.snapshot(ref, list.commit)
	var index []byte
	if slices.Contains(list.files, indexName) {
		if index, err = wholefile.Read(filepath.Join(dir, indexName), wholefile.Vocabulary); err != nil {
			return Found{}, fmt.Errorf("hub: cache: %w", err)
		}
	}
	names, err := weights(ref, list.files, index)
	if err != nil {
		return Found{}, err
	}
	// The weights come last, so that a snapshot with all its weights is complete.
	if err := c.fetch(ctx, ref, list.commit, names, "weights"); err != nil {
		return Found{}, err
	}
	return Found{Commit: list.commit, Paths: []string{dir}}, c.setCommit(ref, list.commit)
}

// data returns files of a data set of the hub and fetches the missing ones.
func (c *Client) data(ctx context.Context, ref Ref) (Found, error) {
	cached, whole, sure, err := c.cachedData(ref)
	if err != nil && (c.Offline || commitForm.MatchString(ref.Revision)) {
		return Found{}, err
	}
	if whole && sure && commitForm.MatchString(ref.Revision) {
		return cached, nil
	}
	list, err := c.listOrCached(ctx, ref, whole)
	if err != nil {
		return Found{}, err
	}
	if list.commit == "" {
		if !sure {
			c.say("%s: using the %d files that another program fetched into the cache; the data set "+
				"may have more", ref, len(cached.Paths))
		}
		return cached, nil
	}
	if err := c.setListed(ref, list); err != nil {
		return Found{}, err
	}
	var readme []byte
	if needsReadMe(ref, list.files) {
		if readme, err = c.readMe(ctx, ref, list.commit); err != nil {
			return Found{}, err
		}
	}
	names, err := dataFiles(ref, list.files, readme)
	if err != nil {
		return Found{}, err
	}
	return c.files(ctx, ref, list.commit, names)
}

// readMe fetches a data set's README.md and reads its beginning.
func (c *Client) readMe(ctx context.Context, ref Ref, commit string) ([]byte, error) {
	if err := c.fetch(ctx, ref, commit, []string{splits.ReadMe}, "README.md"); err != nil {
		return nil, err
	}
	const most = 16 << 20 // bytes; the longest front matter is a few MB
	f, err := wholefile.Open(filepath.Join(c.snapshot(ref, commit), splits.ReadMe))
	if err != nil {
		return nil, fmt.Errorf("hub: cache: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return nil, fmt.Errorf("hub: cache: %w", err)
	}
	return data, nil
}

// files fetches files by name.
func (c *Client) files(
	ctx context.Context, ref Ref, commit string, names []string,
) (Found, error) {
	if err := c.fetch(ctx, ref, commit, names, ""); err != nil {
		return Found{}, err
	}
	return Found{Commit: commit, Paths: paths(c.snapshot(ref, commit), names)},
		c.setCommit(ref, commit)
}

// listOrCached lists the repository, or returns a listing without a commit if the cache is to be
// used.
func (c *Client) listOrCached(ctx context.Context, ref Ref, whole bool) (listing, error) {
	if c.Offline {
		if !whole {
			return listing{}, fmt.Errorf("hub: %s is not whole in the cache %s, and %w: unset it to fetch "+
				"what is missing", ref, c.Cache, ErrOffline)
		}
		return listing{}, nil
	}
	list, err := c.list(ctx, ref, !whole)
	switch {
	case err == nil:
		return list, nil
	case ctx.Err() != nil:
		return listing{}, fmt.Errorf("hub: %s: %w", ref, err)
	case whole && !errors.Is(err, errRevision):
		c.say("%v; using %s as it is in the cache", err, ref)
		return listing{}, nil
	case errors.Is(err, errUnreachable):
		return listing{}, fmt.Errorf("hub: %s is not whole in the cache %s: %w", ref, c.Cache, err)
	}
	return listing{}, err
}

// parallel is how many files are fetched at once.
const parallel = 4

// A job is a file to fetch.
type job struct {
	name, etag string
	size       int64 // -1: not known
}

// fetch fetches files of a commit into its snapshot.
func (c *Client) fetch(
	ctx context.Context, ref Ref, commit string, names []string, what string,
) error {
	if err := checkStored(ref.String(), names); err != nil {
		return err
	}
	jobs, err := c.plan(ctx, ref, commit, names)
	if err != nil || len(jobs) == 0 {
		return err
	}
	t := &tally{report: c.Progress, what: ref.ID}
	if what != "" {
		t.what += " " + what
	}
	need := int64(0)
	for _, same := range byEtag(jobs) {
		j := same[0]
		t.total += max(j.size, 0)
		need += max(j.size, 0) - sizeOf(c.blob(ref, j.etag)) - sizeOf(c.blob(ref, j.etag)+incomplete)
	}
	if free, ok := c.free(c.Cache); ok && need > 0 && uint64(need) > free {
		return fmt.Errorf("hub: %s: %s are to be fetched, but the disk of %s has room for %s: make "+
			"room, or set HF_HOME to a folder on another disk", ref, Bytes(need), c.Cache,
			Bytes(int64(min(free, 1<<62))))
	}
	t.add(0)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, same := range byEtag(jobs) {
		group.Go(func() error {
			if err := c.download(ctx, ref, commit, same[0], t); err != nil {
				return err
			}
			for _, j := range same {
				if err := c.link(ref, commit, j.name, j.etag); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t.finish()
	return nil
}

// byEtag groups files with the same content, in the order of the first of each.
func byEtag(jobs []job) (groups [][]job) {
	at := map[string]int{}
	for _, j := range jobs {
		i, ok := at[j.etag]
		if !ok {
			i = len(groups)
			at[j.etag], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], j)
	}
	return groups
}

// plan asks the hub for the etags and sizes of the files that the snapshot lacks.
func (c *Client) plan(ctx context.Context, ref Ref, commit string, names []string) ([]job, error) {
	var jobs []job
	for _, name := range names {
		if !exists(filepath.Join(c.snapshot(ref, commit), filepath.FromSlash(name))) {
			jobs = append(jobs, job{name: name})
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2 * parallel)
	for i := range jobs {
		group.Go(func() error {
			j := &jobs[i]
			return c.retry(ctx, ref.ID+"/"+j.name, func() (bool, error) {
				r, err := c.send(ctx, ref, http.MethodHead, c.address(ref, commit, j.name), nil)
				if err != nil {
					return false, err
				}
				r.Body.Close()
				if r.StatusCode/100 != 2 && r.StatusCode/100 != 3 {
					return false, c.failure(ref, r.Response)
				}
				if !etagForm.MatchString(r.etag) {
					return false, fmt.Errorf(
						"hub: %s/%s: the etag is %q, want a hash: is HF_ENDPOINT a hub?", ref.ID, j.name,
						r.etag)
				}
				if j.etag, j.size = r.etag, r.size; j.size < 0 {
					return false, fmt.Errorf("hub: %s/%s: the hub does not say how large it is, so haf could "+
						"not tell whether it came whole: is HF_ENDPOINT a hub?", ref.ID, j.name)
				}
				if hashFor(j.etag, j.size) == nil {
					c.say("%s/%s: its etag is no hash, so haf can check its size alone", ref.ID, j.name)
				}
				return false, nil
			})
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("hub: %s: %w", ref, err)
	}
	return jobs, nil
}

func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// tally adds up the bytes of concurrent downloads.
type tally struct {
	mu          sync.Mutex
	what        string
	done, total int64
	report      func(what string, done, total int64)
}

// add counts bytes. A download that begins again passes a negative number.
func (t *tally) add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += n
	t.total = max(t.total, t.done) // never more than 100 %
	if t.report != nil {
		// The last byte is reported by finish, when the files have been checked.
		t.report(t.what, min(t.done, max(t.total-1, 0)), t.total)
	}
}

func (t *tally) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.report != nil {
		t.report(t.what, t.total, t.total)
	}
}

// Bytes formats a number of bytes for people.
func Bytes(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 4 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[i])
}
