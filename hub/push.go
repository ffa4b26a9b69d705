package hub

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"haf/internal/retry"
	"haf/internal/wholefile"
)

// An Upload is a file to send: the file at Path or, if Path is "", Data.
type Upload struct {
	Name string // in the repository, with slashes
	Path string
	Data []byte
}

// A Push describes a commit to make on the hub.
type Push struct {
	ID       string // org/name of a model, created if needed
	Revision string // branch, created if needed; "" is main
	Private  bool   // for a new repository
	Message  string // of the commit
	Files    []Upload
}

// A Pushed is a commit that Push made.
type Pushed struct {
	Commit string `json:"commit"`
	URL    string `json:"url"`
}

// Push sends files as one commit. Large files go to the hub's storage first; those already there
// are not sent again. Push never repeats the commit request, because the hub may have made a commit
// whose answer was lost.
func (c *Client) Push(ctx context.Context, p Push) (out Pushed, err error) {
	if p.Revision == "" {
		p.Revision = defaultRevision
	}
	if err := c.checkPush(p); err != nil {
		return out, err
	}
	u := &upload{c: c, ref: Ref{ID: p.ID, Revision: p.Revision}}
	if err := u.measure(p.Files); err != nil {
		return out, err
	}
	if err := u.create(ctx, p); err != nil {
		return out, err
	}
	if err := u.modes(ctx); err != nil {
		return out, err
	}
	if err := u.storeLarge(ctx); err != nil {
		return out, err
	}
	return u.commit(ctx, p)
}

// Check returns an error unless the push names a repository, a branch and paths inside a
// repository. It sends no request.
func (p Push) Check() error {
	switch {
	case !validID(p.ID):
		return fmt.Errorf("hub: %q is no id: want org/name", p.ID)
	case p.Revision != "" && (!revisionForm.MatchString(p.Revision) || !local(p.Revision)):
		return fmt.Errorf("hub: %q is no name of a branch, such as main or v1.2", p.Revision)
	}
	var names []string
	for _, f := range p.Files {
		names = append(names, f.Name)
	}
	if err := checkListed(p.ID, names); err != nil {
		return err
	}
	return checkStored(p.ID, names)
}

func (c *Client) checkPush(p Push) error {
	if err := p.Check(); err != nil {
		return err
	}
	switch {
	case c.Offline:
		return fmt.Errorf("hub: %s cannot be sent: %w", p.ID, ErrOffline)
	case c.Token == "":
		return fmt.Errorf("hub: there is no token: set HF_TOKEN to one that may write, or " +
			"run hf auth " +
			"login")
	case len(p.Files) == 0:
		return fmt.Errorf("hub: there are no files to send to %s", p.ID)
	}
	return nil
}

// An upload is a push in progress.
type upload struct {
	c     *Client
	ref   Ref
	files []*uploadFile
}

type uploadFile struct {
	Upload
	size   int64
	sum    string // SHA-256
	sample []byte // its first bytes
	large  bool   // goes to the storage of large files
	ignore bool   // named in the repository's .gitignore
}

const sampleSize = 512

// measure reads all files once, for their sizes and hashes.
func (u *upload) measure(files []Upload) error {
	for _, of := range files {
		f := &uploadFile{Upload: of}
		body, err := f.open()
		if err != nil {
			return err
		}
		hash := sha256.New()
		f.sample = make([]byte, sampleSize)
		n, err := io.ReadFull(body, f.sample)
		f.sample = f.sample[:n]
		hash.Write(f.sample)
		if err == nil {
			var more int64
			more, err = io.Copy(hash, body)
			f.size = more
		} else if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = nil
		}
		body.Close() //nolint:errcheck // it was only read
		if err != nil {
			return fmt.Errorf("hub: %s: %w", f.Name, err)
		}
		f.size += int64(n)
		f.sum = hex.EncodeToString(hash.Sum(nil))
		u.files = append(u.files, f)
	}
	return nil
}

type source interface {
	io.ReaderAt
	io.ReadCloser
}

type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

func (f *uploadFile) open() (source, error) {
	if f.Path == "" {
		return memory{bytes.NewReader(f.Data)}, nil
	}
	file, err := wholefile.Open(f.Path)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	return file, nil
}

// create makes the repository and the branch, unless they exist.
func (u *upload) create(ctx context.Context, p Push) error {
	owner, name, _ := strings.Cut(p.ID, "/")
	body := map[string]any{"type": "model", "organization": owner, "name": name}
	if p.Private {
		body["visibility"] = "private"
	}
	var made struct {
		URL string `json:"url"`
	}
	if err := u.ask(ctx, "/api/repos/create", body, &made, http.StatusConflict); err != nil {
		return err
	}
	if made.URL == "" && p.Private {
		if err := u.wantPrivate(ctx); err != nil {
			return err
		}
	}
	if p.Revision == defaultRevision {
		return nil
	}
	return u.ask(ctx, "/api/models/"+p.ID+"/branch/"+url.PathEscape(p.Revision), struct{}{}, nil,
		http.StatusConflict)
}

// wantPrivate refuses an existing repository that is public.
func (u *upload) wantPrivate(ctx context.Context) error {
	address := u.c.Endpoint + "/api/models/" + u.ref.ID
	resp, err := u.request(ctx, http.MethodGet, address, "", nil, 0)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var info struct {
		Private *bool `json:"private"`
	}
	if err := u.decode(resp, &info); err != nil {
		return err
	}
	if info.Private == nil || !*info.Private {
		return fmt.Errorf("hub: %s exists and is not private: make it private on "+
			"%s/%s/settings, or push "+
			"to another name", u.ref.ID, u.c.shown(), u.ref.ID)
	}
	return nil
}

// modes asks the hub which files are large.
func (u *upload) modes(ctx context.Context) error {
	type file struct {
		Path   string `json:"path"`
		Sample []byte `json:"sample"` // base64
		Size   int64  `json:"size"`
	}
	var body struct {
		Files []file `json:"files"`
	}
	for _, f := range u.files {
		body.Files = append(body.Files, file{f.Name, f.sample, f.size})
	}
	var answer struct {
		Files []struct {
			Path   string `json:"path"`
			Mode   string `json:"uploadMode"`
			Ignore bool   `json:"shouldIgnore"`
		} `json:"files"`
	}
	address := "/api/models/" + u.ref.ID + "/preupload/" + url.PathEscape(u.ref.Revision)
	if err := u.ask(ctx, address, body, &answer); err != nil {
		return err
	}
	told := map[string]bool{}
	for _, a := range answer.Files {
		for _, f := range u.files {
			if f.Name == a.Path {
				told[f.Name] = true
				f.large, f.ignore = a.Mode == "lfs" && f.size > 0, a.Ignore
			}
		}
	}
	for _, f := range u.files {
		if !told[f.Name] {
			return fmt.Errorf("hub: %s: the hub does not say how %s is to be sent", u.ref, f.Name)
		}
		if f.ignore {
			u.c.say("%s is left out: .gitignore of %s names it", f.Name, u.ref)
		}
	}
	return nil
}

// commit makes the commit of all files.
func (u *upload) commit(ctx context.Context, p Push) (out Pushed, err error) {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	line := func(key string, value any) {
		if err == nil {
			err = encoder.Encode(map[string]any{"key": key, "value": value})
		}
	}
	line("header", map[string]string{"summary": p.Message, "description": ""})
	for _, f := range u.files {
		switch {
		case f.ignore:
		case f.large:
			line("lfsFile", map[string]any{"path": f.Name, "algo": "sha256", "oid": f.sum,
				"size": f.size})
		default:
			content, failed := f.content()
			if failed != nil {
				return out, failed
			}
			line("file", map[string]any{"path": f.Name, "encoding": "base64", "content": content})
		}
	}
	if err != nil {
		return out, fmt.Errorf("hub: %w", err)
	}
	var answer struct {
		OID string `json:"commitOid"`
		URL string `json:"commitUrl"`
	}
	address := u.c.Endpoint + "/api/models/" + u.ref.ID + "/commit/" + url.PathEscape(u.ref.Revision)
	resp, err := u.request(ctx, http.MethodPost, address, "application/x-ndjson",
		bytes.NewReader(body.Bytes()), int64(body.Len()))
	if err != nil {
		return out, fmt.Errorf("%w: the commit may have been made: look at %s/%s before you "+
			"push again",
			err, u.c.shown(), u.ref.ID)
	}
	defer resp.Body.Close()
	if err := u.decode(resp, &answer); err != nil {
		return out, u.c.explain(err)
	}
	if answer.OID == "" && answer.URL == "" {
		return out, fmt.Errorf("hub: %s: %s names no commit in its answer: look at %s/%s before you "+
			"push again", u.ref, u.c.shown(), u.c.shown(), u.ref.ID)
	}
	return Pushed{Commit: answer.OID, URL: answer.URL}, nil
}

// content returns the whole file and checks that it has not changed.
func (f *uploadFile) content() ([]byte, error) {
	body, err := f.open()
	if err != nil {
		return nil, err
	}
	defer body.Close() //nolint:errcheck // it is only read
	data, err := io.ReadAll(body)
	if err != nil {
		return nil, fmt.Errorf("hub: %s: %w", f.Name, err)
	}
	if int64(len(data)) != f.size {
		return nil, fmt.Errorf("hub: %s has changed while it was sent: push again", f.Name)
	}
	return data, nil
}

// ask sends JSON to the hub, repeats the request after temporary failures, and decodes the answer.
// A status in fine is no failure.
func (u *upload) ask(ctx context.Context, path string, body, answer any, fine ...int) error {
	address := path
	if strings.HasPrefix(path, "/") {
		address = u.c.Endpoint + path
	}
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("hub: %w", err)
	}
	kind := "application/json"
	if strings.HasSuffix(path, "/info/lfs/objects/batch") {
		kind = lfsType
	}
	return u.c.retry(ctx, u.ref.String(), func() (bool, error) {
		resp, err := u.request(ctx, http.MethodPost, address, kind, bytes.NewReader(data),
			int64(len(data)))
		if err != nil {
			return false, &retry.Temporary{Err: err}
		}
		defer resp.Body.Close()
		return false, u.decode(resp, answer, fine...)
	})
}
