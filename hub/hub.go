// Package hub fetches models and data sets from the Hugging Face hub into the cache that its Python
// client uses, and finds them there: what one of both has fetched, the other uses without a
// network.
//
// A [Client] resolves a path that the user wrote. A path that exists on disk stays as it is.
// Otherwise org/name, org/name@revision or datasets/org/name/file is an id. haf fetches only the
// files that it reads: configuration, tokenizer, chat template, safetensors. It refuses a
// repository whose weights are pickles only.
//
// Blobs are stored under their etag and checked against it: the SHA-256 of a large file, git's hash
// of a small one. An interrupted download is resumed.
package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"haf/internal/webclient"
	"haf/internal/wholefile"
)

// DefaultEndpoint is the hub, unless HF_ENDPOINT names another.
const DefaultEndpoint = "https://huggingface.co"

// A Client fetches from one hub into one cache. It is safe for concurrent use, and other processes
// may share the cache.
type Client struct {
	Endpoint string // without a slash at the end
	Token    string // sent to the endpoint's host only; "" is none
	Cache    string // folder of the repositories
	Offline  bool   // use only what is in the cache
	Tries    int    // attempts of a request after temporary failures; 0 is 5

	Say func(format string, args ...any) // gets messages for the user; may be nil
	// gets the bytes so far and in all; may be nil; never called concurrently
	Progress func(what string, done, total int64)
	http     *http.Client
	// before the second attempt, doubled for each further one
	pause time.Duration
	// the longest silence of a connection; HF_HUB_DOWNLOAD_TIMEOUT, in seconds
	stall time.Duration
	free  func(dir string) (bytes uint64, ok bool) // free space on the cache's disk
}

// ErrOffline is wrapped if an offline client would have to fetch something.
var ErrOffline = errors.New("HF_HUB_OFFLINE is set")

// Found is a resolved path.
type Found struct {
	Named string `json:"named"` // as the user wrote it
	// org/name or datasets/org/name; "" for a local path
	ID       string   `json:"id,omitempty"`
	Revision string   `json:"revision,omitempty"` // as the user wrote it
	Commit   string   `json:"commit,omitempty"`   // the revision's commit
	Paths    []string `json:"paths"`              // a model's folder or file, or files of data
}

// FromEnv returns a client for the environment's settings, by the rules of the Python client:
// HF_ENDPOINT; HF_HUB_CACHE, else HF_HOME/hub, else huggingface/hub under XDG_CACHE_HOME or
// ~/.cache; HF_TOKEN, else HUGGING_FACE_HUB_TOKEN, else the file that `hf auth login` writes;
// HF_HUB_OFFLINE; HF_HUB_DOWNLOAD_TIMEOUT.
func FromEnv() (*Client, error) {
	endpoint := strings.TrimRight(cmpEnv("HF_ENDPOINT", DefaultEndpoint), "/")
	if u, err := url.Parse(endpoint); err != nil || u.Host == "" || u.Scheme != "https" &&
		u.Scheme != "http" {
		return nil, fmt.Errorf("hub: HF_ENDPOINT is %q, want the address of a hub, such as %s",
			webclient.ShownText(endpoint), DefaultEndpoint)
	}
	home, err := homeFolder()
	if err != nil {
		return nil, err
	}
	cache := cmpEnv("HF_HUB_CACHE", cmpEnv("HUGGINGFACE_HUB_CACHE", filepath.Join(home, "hub")))
	if cache, err = filepath.Abs(expand(cache)); err != nil {
		return nil, fmt.Errorf("hub: cache folder: %w", err)
	}
	c := &Client{Endpoint: endpoint, Cache: cache, Offline: isTrue("HF_HUB_OFFLINE") ||
		os.Getenv("HF_HUB_OFFLINE") == "" && isTrue("TRANSFORMERS_OFFLINE")}
	if !isTrue("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
		if c.Token, err = token(home); err != nil {
			return nil, err
		}
	}
	c.defaults()
	if text := os.Getenv("HF_HUB_DOWNLOAD_TIMEOUT"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil || !(seconds > 0 && seconds <= maxStall.Seconds()) {
			return nil, fmt.Errorf("hub: HF_HUB_DOWNLOAD_TIMEOUT is %q, want seconds, above 0 and up to "+
				"%.0f", text, maxStall.Seconds())
		}
		c.wait(time.Duration(seconds * float64(time.Second)))
	}
	return c, nil
}

// maxStall bounds HF_HUB_DOWNLOAD_TIMEOUT.
const maxStall = time.Hour

func (c *Client) defaults() {
	c.http = &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	c.pause, c.free = time.Second, freeBytes
	c.wait(30 * time.Second)
}

// wait sets the longest silence of the hub.
func (c *Client) wait(stall time.Duration) {
	transport := webclient.Transport(2 * parallel)
	transport.ResponseHeaderTimeout = stall
	transport.DisableCompression = true // sizes and ranges refer to the plain file
	c.http.Transport, c.stall = transport, stall
}

// shown is the endpoint without secrets, for messages, because a mirror's may hold a password.
func (c *Client) shown() string { return webclient.ShownText(c.Endpoint) }

func (c *Client) say(format string, args ...any) {
	if c.Say != nil {
		c.Say(format, args...)
	}
}

// homeFolder returns HF_HOME or its default.
func homeFolder() (string, error) {
	if home := os.Getenv("HF_HOME"); home != "" {
		return expand(home), nil
	}
	if cache := os.Getenv("XDG_CACHE_HOME"); cache != "" {
		return filepath.Join(expand(cache), "huggingface"), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("hub: no home folder: %w; set HF_HOME to a folder for models", err)
	}
	return filepath.Join(user, ".cache", "huggingface"), nil
}

// token finds the user's token. It trims line ends, which come with pasting or from a file.
func token(home string) (string, error) {
	clean := strings.NewReplacer("\r", "", "\n", "")
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := strings.TrimSpace(clean.Replace(os.Getenv(name))); t != "" {
			return t, nil
		}
	}
	path := expand(cmpEnv("HF_TOKEN_PATH", filepath.Join(home, "token")))
	data, err := wholefile.Read(path, wholefile.Settings)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("hub: the token's file: %w; or set HF_TOKEN", err)
	}
	return strings.TrimSpace(clean.Replace(string(data))), nil
}

func cmpEnv(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

func isTrue(name string) bool {
	switch strings.ToUpper(os.Getenv(name)) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}

// expand replaces variables and a leading ~.
func expand(path string) string {
	path = os.ExpandEnv(path)
	if rest, ok := strings.CutPrefix(path, "~"); ok &&
		(rest == "" || rest[0] == '/' || rest[0] == filepath.Separator) {
		if user, err := os.UserHomeDir(); err == nil {
			return filepath.Join(user, rest)
		}
	}
	return path
}

// Model returns where a model is on disk, and fetches its missing files. path is a folder or file
// on disk, or an id. It returns any other path unchanged, so that opening it reports the error.
func (c *Client) Model(ctx context.Context, path string) (Found, error) {
	if exists(path) {
		return Found{Named: path, Paths: []string{path}}, nil
	}
	ref, ok, err := modelRef(path)
	if err != nil || !ok {
		return Found{Named: path, Paths: []string{path}}, err
	}
	s, err := c.model(ctx, ref)
	return s.of(path, ref), noLocal(path, err)
}

// Data is Model for files of data, in reading order. path is datasets/org/name:config/split, where
// config and split may be left out if there is only one, or datasets/org/name/file, where file may
// also be a pattern (data/train-*.parquet), a folder, or the name of a split. A path on disk may
// also be a folder, a part of one (folder:split) or a pattern; package pref reads it.
func (c *Client) Data(ctx context.Context, path string) (Found, error) {
	if dataOnDisk(path) {
		return Found{Named: path, Paths: []string{path}}, nil
	}
	ref, ok, err := dataRef(path)
	if err != nil || !ok {
		return Found{Named: path, Paths: []string{path}}, err
	}
	s, err := c.data(ctx, ref)
	return s.of(path, ref), noLocal(path, err)
}

// Files lists the data files of paths or ids, in order.
func (c *Client) Files(ctx context.Context, named []string) ([]string, error) {
	var files []string
	for _, path := range named {
		s, err := c.Data(ctx, path)
		if err != nil {
			return nil, err
		}
		files = append(files, s.Paths...)
	}
	return files, nil
}

// Restore fetches a source's files again if they are missing: from the same commit, even if its
// revision has moved on.
func (c *Client) Restore(ctx context.Context, s Found) (Found, error) {
	if s.ID == "" || s.Commit == "" {
		return s, nil
	}
	ref, err := ParseRef(s.Named)
	if err != nil {
		return s, err
	}
	ref.Revision = s.Commit
	fetch := c.model
	if ref.Dataset {
		fetch = c.data
	}
	now, err := fetch(ctx, ref)
	now.Named, now.ID, now.Revision = s.Named, s.ID, s.Revision
	return now, err
}

func (s Found) of(path string, ref Ref) Found {
	s.Named, s.ID, s.Revision = path, ref.page(), ref.Revision
	return s
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// dataOnDisk reports whether a path of data names something on disk.
func dataOnDisk(path string) bool {
	if exists(path) {
		return true
	}
	if strings.HasPrefix(path, Scheme) {
		return false
	}
	if i := strings.LastIndexByte(path, ':'); i > 0 && exists(path[:i]) {
		return true
	}
	matches, err := doublestar.FilepathGlob(path, doublestar.WithFilesOnly())
	return err == nil && len(matches) > 0
}

// noLocal adds that the path is not on disk either, because a mistyped folder looks like an id.
func noLocal(path string, err error) error {
	if err == nil || strings.HasPrefix(path, Scheme) {
		return err
	}
	return fmt.Errorf("%s is not on disk, so it was looked for on the hub: %w", path, err)
}
