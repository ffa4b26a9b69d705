package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"haf/internal/durable"
	"haf/internal/retry"
)

// incomplete is the suffix of a blob whose download is running or was interrupted.
const incomplete = ".incomplete"

// download fetches one blob into the cache. A lock keeps other processes, including Python's, from
// fetching it at the same time.
func (c *Client) download(ctx context.Context, ref Ref, commit string, j job, t *tally) error {
	blob, lockPath := c.blob(ref, j.etag), c.lockPath(ref, j.etag)
	for _, path := range []string{blob, lockPath} {
		if err := durable.MkdirAll(filepath.Dir(path)); err != nil {
			return c.onDisk(err)
		}
	}
	lock := flock.New(lockPath, flock.SetPermissions(0o664))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		c.say("%s/%s: another process fetches it: waiting", ref.ID, j.name)
		_, err = lock.TryLockContext(ctx, 100*time.Millisecond)
	}
	if err != nil {
		return c.stopped(ctx, ref, fmt.Errorf("hub: lock: %w", err))
	}
	defer lock.Close()
	if exists(blob) {
		t.add(sizeOf(blob))
		return nil
	}
	p := &partial{client: c, ref: ref, job: j, address: c.address(ref, commit, j.name), path: blob +
		incomplete, tally: t}
	if err := p.fetch(ctx); err != nil {
		return c.stopped(ctx, ref, err)
	}
	if err := durable.Rename(p.path, blob); err != nil {
		return c.onDisk(err)
	}
	return nil
}

// stopped adds to the error of an interrupted download that it can be resumed.
func (c *Client) stopped(ctx context.Context, ref Ref, err error) error {
	if errors.Is(ctx.Err(), context.Canceled) && errors.Is(err, context.Canceled) {
		return fmt.Errorf("hub: %s was not fetched completely; haf keeps the part that came, and the "+
			"same command resumes: %w", ref, err)
	}
	return err
}

// onDisk adds the remedy to a file-system error.
func (c *Client) onDisk(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("hub: %w: the disk of %s is full: %w: free some space and run the same "+
			"command again to resume, or set HF_HOME to a folder on another disk", errDisk, c.Cache, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("hub: %w: set HF_HOME to a folder that you may write", err)
	}
	return fmt.Errorf("hub: %w: %w", errDisk, err)
}

// A partial is a blob that is being fetched.
type partial struct {
	client  *Client
	ref     Ref
	job     job
	address string
	path    string
	tally   *tally

	file *durable.File
	sum  hash.Hash // nil if the etag is no hash of the content
	have int64     // bytes in the file
}

func (p *partial) name() string { return p.ref.ID + "/" + p.job.name }

// fetch completes and checks the file at p.path.
func (p *partial) fetch(ctx context.Context) (err error) {
	if p.file, err = durable.OpenFile(p.path, os.O_RDWR|os.O_CREATE); err != nil {
		return p.client.onDisk(err)
	}
	defer func() { err = errors.Join(err, p.file.Close()) }()
	// Hash the existing bytes again, because another program may have written them.
	p.sum = hashFor(p.job.etag, p.job.size)
	if p.have, err = io.Copy(hashOrNothing(p.sum), p.file); err != nil {
		return p.client.onDisk(err)
	}
	p.tally.add(p.have)
	for again := false; ; again = true {
		err = p.client.retry(ctx, p.name(), func() (bool, error) {
			before := p.have
			err := p.more(ctx)
			return p.have > before, err
		})
		if err != nil {
			return err
		}
		wrong := p.check()
		if wrong == nil {
			break
		}
		if again {
			if err := durable.RemoveAll(p.path); err != nil {
				return p.client.onDisk(err)
			}
			return fmt.Errorf("hub: %s: %w, twice: %s or something on the way to it damages the file, of "+
				"which nothing is kept: try another network, or look at HF_ENDPOINT", p.name(), wrong,
				p.client.shown())
		}
		p.client.say("%s: %v: fetching it again", p.name(), wrong)
		if err := p.restart(); err != nil {
			return err
		}
	}
	if err := p.file.Sync(); err != nil {
		return p.client.onDisk(err)
	}
	return nil
}

// restart empties the file.
func (p *partial) restart() error {
	p.tally.add(-p.have)
	p.have, p.sum = 0, hashFor(p.job.etag, p.job.size)
	if err := p.file.Truncate(0); err != nil {
		return p.client.onDisk(err)
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return p.client.onDisk(err)
	}
	return nil
}

// more makes one request for the missing bytes.
func (p *partial) more(ctx context.Context) error {
	if p.job.size >= 0 && p.have > p.job.size {
		if err := p.restart(); err != nil {
			return err
		}
	}
	if p.have == p.job.size {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := &retry.Temporary{Err: fmt.Errorf("hub: %s: %w: nothing came for %s", p.name(),
		errUnreachable, p.client.stall)}
	watch := time.AfterFunc(p.client.stall, func() { cancel(stalled) })
	defer watch.Stop()
	header := http.Header{}
	if p.have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", p.have))
	}
	r, err := p.client.send(ctx, p.ref, http.MethodGet, p.address, header)
	if err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	defer r.Body.Close()
	switch r.StatusCode {
	case http.StatusOK: // the whole file, even if a part was requested
		if p.have > 0 {
			if err := p.restart(); err != nil {
				return err
			}
		}
	case http.StatusPartialContent:
		if from, ok := rangeStart(r.Header.Get("Content-Range")); !ok || from != p.have {
			return fmt.Errorf("hub: %s: the bytes from %d on were asked for, the answer has %q", p.name(),
				p.have, r.Header.Get("Content-Range"))
		}
	// the file here is at least as long as the hub's; the check decides
	case http.StatusRequestedRangeNotSatisfiable:
		if p.job.size < 0 {
			return nil
		}
		return p.restart()
	default:
		return p.client.failure(p.ref, r.Response)
	}
	buf := make([]byte, 1<<18)
	for {
		n, err := r.Body.Read(buf)
		watch.Reset(p.client.stall)
		if n > 0 {
			if _, err := p.file.Write(buf[:n]); err != nil {
				return p.client.onDisk(err)
			}
			if p.sum != nil {
				p.sum.Write(buf[:n]) // never fails
			}
			p.have += int64(n)
			p.tally.add(int64(n))
		}
		if p.have > p.job.size {
			return nil // check reports it; the answer may be endless
		}
		switch {
		case err == io.EOF && p.have < p.job.size:
			return &retry.Temporary{Err: fmt.Errorf("hub: %s: the connection ended after %d of %d bytes",
				p.name(), p.have, p.job.size)}
		case err == io.EOF:
			return nil
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return &retry.Temporary{Err: fmt.Errorf("hub: %s: the connection broke off after %d bytes: %w",
				p.name(), p.have, err)}
		}
	}
}

// check compares the whole file with the hub's size and hash.
func (p *partial) check() error {
	if p.job.size >= 0 && p.have != p.job.size {
		return fmt.Errorf("%d bytes or more came, want %d", p.have, p.job.size)
	}
	if p.sum == nil {
		return nil
	}
	if got := hex.EncodeToString(p.sum.Sum(nil)); got != strings.ToLower(p.job.etag) {
		return fmt.Errorf("the file's hash is %s, want %s", got, p.job.etag)
	}
	return nil
}

// hashFor returns the hash that an etag consists of: 64 digits are the SHA-256 of the content, 40
// are git's hash of a blob, which begins with the size. It returns nil for any other etag.
func hashFor(etag string, size int64) hash.Hash {
	if _, err := hex.DecodeString(etag); err != nil {
		return nil
	}
	switch {
	case len(etag) == 2*sha256.Size:
		return sha256.New()
	case len(etag) == 2*sha1.Size && size >= 0:
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", size)
		return h
	}
	return nil
}

func hashOrNothing(h hash.Hash) io.Writer {
	if h == nil {
		return io.Discard
	}
	return h
}

// rangeStart reads the first number of "bytes 100-199/200".
func rangeStart(contentRange string) (int64, bool) {
	rest, ok := strings.CutPrefix(contentRange, "bytes ")
	first, _, dash := strings.Cut(rest, "-")
	from, err := strconv.ParseInt(first, 10, 64)
	return from, ok && dash && err == nil
}
