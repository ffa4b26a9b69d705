package hub

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// commits of the stand-in's repositories.
const (
	commit1 = "1111111111111111111111111111111111111111"
	commit2 = "2222222222222222222222222222222222222222"
)

// A standIn speaks the hub's API: what the Python client and this one ask for. Large files it sends
// to a second host, as the hub does.
type standIn struct {
	*httptest.Server
	cdn *httptest.Server

	mu      sync.Mutex
	commits map[string]string            // "models/org/name@main" → commit
	files   map[string]map[string][]byte // "models/org/name" → name → content
	large   int                          // bytes from which a file is LFS
	listed  []string                     // the names of every listing; nil: those of files
	// "GET /path" as they came, those of the CDN with a leading "cdn "
	requests []string
	tokens   []string // that came with the requests of the hub
	leaked   bool     // a token came to the CDN
	ranges   []string // Range headers of the CDN
	refuse   func(r *http.Request) (status int, code string)
	tamper   func(w http.ResponseWriter, r *http.Request, content []byte) bool // true: it has answered
}

func newStandIn(t testing.TB) *standIn {
	s := &standIn{commits: map[string]string{}, files: map[string]map[string][]byte{}, large: 1000}
	s.Server = httptest.NewServer(http.HandlerFunc(s.hub))
	s.cdn = httptest.NewServer(http.HandlerFunc(s.blob))
	t.Cleanup(func() {
		for _, server := range []*httptest.Server{s.Server, s.cdn} {
			server.CloseClientConnections()
			server.Close()
		}
	})
	return s
}

// put adds a repository: models/org/name or datasets/org/name.
func (s *standIn) put(repo string, files map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits[repo+"@main"] = commit1
	s.files[repo] = map[string][]byte{}
	for name, content := range files {
		s.files[repo][name] = []byte(content)
	}
}

func (s *standIn) client(t testing.TB) *Client {
	c := &Client{Endpoint: s.URL, Cache: t.TempDir()}
	c.defaults()
	c.pause = time.Millisecond
	c.Say = func(format string, args ...any) { t.Logf("say: "+format, args...) }
	return c
}

// asked returns the requests whose line has a text in it, and forgets all.
func (s *standIn) asked(what string) (found []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		if strings.Contains(r, what) {
			found = append(found, r)
		}
	}
	s.requests = nil
	return found
}

func etagFor(content []byte, lfs bool) string {
	if lfs {
		return fmt.Sprintf("%x", sha256.Sum256(content))
	}
	return fmt.Sprintf("%x", sha1.Sum(fmt.Appendf(nil, "blob %d\x00%s", len(content), content)))
}

func (s *standIn) hub(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	if auth := r.Header.Get("Authorization"); auth != "" {
		s.tokens = append(s.tokens, strings.TrimPrefix(auth, "Bearer "))
	}
	fail := func(status int, code, message string) {
		w.Header().Set("X-Error-Code", code)
		w.Header().Set("X-Error-Message", message)
		w.WriteHeader(status)
	}
	if s.refuse != nil {
		if status, code := s.refuse(r); status != 0 {
			fail(status, code, "said the stand-in")
			return
		}
	}
	path := strings.TrimPrefix(r.URL.EscapedPath(), "/")
	if rest, ok := strings.CutPrefix(path, "api/"); ok {
		parts := strings.SplitN(rest, "/", 5) // models org name revision|tree REV
		if len(parts) < 3 {
			fail(404, "", "no such page")
			return
		}
		repo, revision := strings.Join(parts[:3], "/"), "main"
		if len(parts) == 5 {
			revision, _ = url.PathUnescape(parts[4])
		}
		files, ok := s.files[repo]
		if !ok {
			fail(401, "RepoNotFound", "Repository not found")
			return
		}
		commit, ok := s.commits[repo+"@"+revision]
		if !ok && (revision == commit1 || revision == commit2) {
			commit, ok = revision, true
		}
		if !ok {
			fail(404, "RevisionNotFound", "Invalid rev id: "+revision)
			return
		}
		var siblings, tree []map[string]any
		for name, content := range files {
			siblings = append(siblings, map[string]any{"rfilename": name})
			lfs := len(content) >= s.large
			entry := map[string]any{"type": "file", "path": name, "size": len(content),
				"oid": etagFor(content, false)}
			if lfs {
				entry["lfs"] = map[string]any{"oid": etagFor(content, true), "size": len(content),
					"pointerSize": 130}
			}
			tree = append(tree, entry)
		}
		if s.listed != nil {
			siblings = nil
			for _, name := range s.listed {
				siblings = append(siblings, map[string]any{"rfilename": name})
			}
		}
		w.Header().Set("Content-Type", "application/json")
		if len(parts) > 3 && parts[3] == "tree" {
			_ = json.NewEncoder(w).Encode(tree)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": parts[1] + "/" + parts[2], "sha": commit,
			"siblings": siblings, "private": false, "tags": []string{}, "downloads": 0, "likes": 0})
		return
	}
	before, after, ok := strings.Cut(path, "/resolve/")
	if !ok {
		fail(404, "", "no such page")
		return
	}
	repo := before
	if !strings.HasPrefix(before, "datasets/") {
		repo = "models/" + before
	}
	revision, name, _ := strings.Cut(after, "/")
	name, _ = url.PathUnescape(name)
	commit := s.commits[repo+"@"+revision]
	if commit == "" {
		commit = revision
	}
	content, ok := s.files[repo][name]
	if !ok {
		fail(404, "EntryNotFound", "Entry not found")
		return
	}
	w.Header().Set("X-Repo-Commit", commit)
	if len(content) < s.large {
		w.Header().Set("ETag", `"`+etagFor(content, false)+`"`)
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(content)
		}
		return
	}
	w.Header().Set("X-Linked-Etag", `"`+etagFor(content, true)+`"`)
	w.Header().Set("X-Linked-Size", strconv.Itoa(len(content)))
	w.Header().Set("Location", s.cdn.URL+"/"+repo+"?name="+url.QueryEscape(name)+"&signature=x")
	w.WriteHeader(http.StatusFound)
}

func (s *standIn) blob(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	name := r.URL.Query().Get("name")
	content := s.files[strings.TrimPrefix(r.URL.Path, "/")][name]
	s.requests = append(s.requests, "cdn "+r.Method+" "+name)
	s.ranges = append(s.ranges, r.Header.Get("Range"))
	s.leaked = s.leaked || r.Header.Get("Authorization") != ""
	tamper := s.tamper
	s.mu.Unlock()
	if tamper != nil && tamper(w, r, content) {
		return
	}
	w.Header().Set("ETag", `"cdn's own"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// llama is a model's repository with files that are not wanted.
func llama() map[string]string {
	weights := strings.Repeat("0123456789abcdef", 4096)
	return map[string]string{
		"config.json": `{"model_type":"llama"}`, "generation_config.json": "{}",
		"tokenizer.json": strings.Repeat(" ", 3000) + "{}", "tokenizer_config.json": "{}",
		"chat_template.jinja": "{{ messages }}", "model.safetensors": weights, "README.md": "# read me",
		".gitattributes": "*", "pytorch_model.bin": weights,
		"onnx/model.onnx": weights, "model-q4.gguf": "GGUF" + weights, "modeling_x.py": "import os",
		"consolidated.safetensors": weights, "training_args.bin": "x",
	}
}
