package hub

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A pushStandIn takes pushes as the hub does, strictly, and then serves what it got.
type pushStandIn struct {
	*standIn
	front    *httptest.Server
	storage  *httptest.Server
	t        *testing.T
	chunk    int               // bytes of a part; 0 takes files whole
	private  *bool             // of the repository; nil: it is not there
	objects  map[string][]byte // by SHA-256
	parts    map[string][]byte // by address
	branches map[string]bool
	fail     func(r *http.Request) int // a status to answer with; 0 is none
	lines    []string                  // of the commits
}

func newPushStandIn(t *testing.T) *pushStandIn {
	s := &pushStandIn{standIn: newStandIn(t), t: t, objects: map[string][]byte{},
		parts: map[string][]byte{}, branches: map[string]bool{"main": true}}
	s.front = httptest.NewServer(http.HandlerFunc(s.serve))
	s.storage = httptest.NewServer(http.HandlerFunc(s.store))
	t.Cleanup(s.front.Close)
	t.Cleanup(s.storage.Close)
	return s
}

func (s *pushStandIn) client() *Client {
	c := s.standIn.client(s.t)
	c.Endpoint, c.Token = s.front.URL, "secret"
	return c
}

func (s *pushStandIn) serve(w http.ResponseWriter, r *http.Request) {
	if s.fail != nil {
		if status := s.fail(r); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	if r.Method == http.MethodGet && r.URL.Path == "/api/models/org/name" && s.private != nil {
		answer(w, map[string]any{"private": *s.private, "id": "org/name", "sha": commit1})
		return
	}
	if r.Method != http.MethodPost {
		s.hub(w, r)
		return
	}
	if r.Header.Get("Authorization") != "Bearer secret" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Error(err)
	}
	switch path := r.URL.Path; {
	case path == "/api/repos/create":
		s.create(w, body)
	case strings.HasPrefix(path, "/api/models/org/name/branch/"):
		s.branches[strings.TrimPrefix(path, "/api/models/org/name/branch/")] = true
		answer(w, map[string]any{})
	case strings.HasPrefix(path, "/api/models/org/name/preupload/"):
		s.preupload(w, body)
	case path == "/org/name.git/info/lfs/objects/batch":
		s.batch(w, r, body)
	case strings.HasPrefix(path, "/complete/"):
		s.complete(w, strings.TrimPrefix(path, "/complete/"), body)
	case path == "/verify":
		answer(w, map[string]any{})
	case strings.HasPrefix(path, "/api/models/org/name/commit/"):
		s.commit(w, strings.TrimPrefix(path, "/api/models/org/name/commit/"), body)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func answer(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }

func (s *pushStandIn) decode(body []byte, into any) {
	if err := json.Unmarshal(body, into); err != nil {
		s.t.Errorf("%v: %s", err, body)
	}
}

func (s *pushStandIn) create(w http.ResponseWriter, body []byte) {
	var q struct{ Type, Organization, Name, Visibility string }
	s.decode(body, &q)
	if q.Type != "model" || q.Organization != "org" || q.Name != "name" {
		s.t.Errorf("create: %s", body)
	}
	if s.private != nil {
		w.WriteHeader(http.StatusConflict)
		return
	}
	private := q.Visibility == "private"
	s.private = &private
	answer(w, map[string]string{"url": s.front.URL + "/org/name"})
}

func (s *pushStandIn) preupload(w http.ResponseWriter, body []byte) {
	var q struct {
		Files []struct {
			Path   string
			Sample []byte
			Size   int
		}
	}
	s.decode(body, &q)
	var files []map[string]any
	for _, f := range q.Files {
		if want := min(f.Size, sampleSize); len(f.Sample) != want {
			s.t.Errorf("%s: a sample of %d bytes, want %d", f.Path, len(f.Sample), want)
		}
		mode := "regular"
		if f.Size >= s.large {
			mode = "lfs"
		}
		files = append(files, map[string]any{"path": f.Path, "uploadMode": mode,
			"shouldIgnore": f.Path == "ignored.txt"})
	}
	answer(w, map[string]any{"files": files})
}

func (s *pushStandIn) batch(w http.ResponseWriter, r *http.Request, body []byte) {
	var q struct {
		Operation, HashAlgo string
		Objects             []struct {
			OID  string
			Size int
		}
	}
	s.decode(body, &q)
	if q.Operation != "upload" || r.Header.Get("Content-Type") != lfsType {
		s.t.Errorf("batch: %s", body)
	}
	var objects []map[string]any
	for _, o := range q.Objects {
		object := map[string]any{"oid": o.OID, "size": o.Size}
		if s.objects[o.OID] == nil {
			up := map[string]any{"href": s.storage.URL + "/" + o.OID}
			if s.chunk > 0 {
				header := map[string]any{"chunk_size": strconv.Itoa(s.chunk)}
				for n := range (o.Size + s.chunk - 1) / s.chunk {
					header[fmt.Sprintf("%05d", n+1)] = fmt.Sprintf("%s/%s/%d", s.storage.URL,
						o.OID, n+1)
				}
				up = map[string]any{"href": s.front.URL + "/complete/" + o.OID, "header": header}
			}
			object["actions"] = map[string]any{"upload": up,
				"verify": map[string]any{"href": s.front.URL + "/verify"}}
		}
		objects = append(objects, object)
	}
	answer(w, map[string]any{"transfer": "basic", "objects": objects})
}

func (s *pushStandIn) store(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" || r.Method != http.MethodPut {
		s.t.Errorf("the storage got %s with %q", r.Method, r.Header.Get("Authorization"))
	}
	body, _ := io.ReadAll(r.Body)
	name := strings.TrimPrefix(r.URL.Path, "/")
	if s.chunk > 0 {
		s.parts[name] = body
		w.Header().Set("ETag", fmt.Sprintf(`"%s"`, etagFor(body, true)))
		return
	}
	s.keep(name, body)
}

func (s *pushStandIn) keep(oid string, content []byte) {
	if etagFor(content, true) != oid {
		s.t.Errorf("%d bytes came for %s, whose hash is another", len(content), oid)
	}
	s.objects[oid] = content
}

func (s *pushStandIn) complete(w http.ResponseWriter, oid string, body []byte) {
	var q struct {
		OID   string
		Parts []struct {
			PartNumber int
			ETag       string
		}
	}
	s.decode(body, &q)
	var whole []byte
	for i, p := range q.Parts {
		part := s.parts[fmt.Sprintf("%s/%d", oid, i+1)]
		if p.PartNumber != i+1 || p.ETag != fmt.Sprintf(`"%s"`, etagFor(part, true)) ||
			q.OID != oid {
			s.t.Errorf("complete: %s", body)
		}
		whole = append(whole, part...)
	}
	s.keep(oid, whole)
	answer(w, map[string]any{})
}

func (s *pushStandIn) commit(w http.ResponseWriter, branch string, body []byte) {
	if !s.branches[branch] {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	files := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		var line struct {
			Key   string
			Value struct {
				Summary, Path, OID, Encoding, Algo string
				Content                            []byte
				Size                               int
			}
		}
		s.decode(lines.Bytes(), &line)
		v := line.Value
		s.lines = append(s.lines, line.Key+" "+v.Path+v.Summary)
		switch line.Key {
		case "file":
			files[v.Path] = string(v.Content)
		case "lfsFile":
			content, ok := s.objects[v.OID]
			if !ok || len(content) != v.Size {
				s.t.Errorf("%s of %d bytes is not in the storage", v.Path, v.Size)
			}
			files[v.Path] = string(content)
		}
	}
	s.put("models/org/name", files)
	answer(w, map[string]string{"commitOid": commit1,
		"commitUrl": s.front.URL + "/org/name/commit/x"})
}

// pushed are two small files, a large one and one that is ignored.
func pushed(t *testing.T) (files []Upload, weights string) {
	weights = strings.Repeat("0123456789abcdef", 4096)
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, []byte(weights), 0o644); err != nil {
		t.Fatal(err)
	}
	return []Upload{{Name: "config.json", Data: []byte(`{"model_type":"llama"}`)},
		{Name: "empty.txt", Data: []byte{}}, {Name: "model.safetensors", Path: path},
		{Name: "ignored.txt", Data: []byte("x")}}, weights
}

// TestPush sends a model whole and in parts, tries again what failed, and fetches what came.
func TestPush(t *testing.T) {
	for _, chunk := range []int{0, 20_000} {
		s := newPushStandIn(t)
		s.chunk = chunk
		failed := map[string]bool{}
		s.fail = func(r *http.Request) int { // the first of each POST but the commit's
			key := r.URL.Path
			if r.Method != http.MethodPost || failed[key] || strings.Contains(key, "/commit/") {
				return 0
			}
			failed[key] = true
			return http.StatusServiceUnavailable
		}
		files, weights := pushed(t)
		c := s.client()
		got, err := c.Push(t.Context(), Push{ID: "org/name", Message: "a model", Files: files})
		if err != nil {
			t.Fatal(err)
		}
		if got.Commit != commit1 {
			t.Errorf("%+v", got)
		}
		want := "header a model,file config.json,file empty.txt,lfsFile model.safetensors"
		if lines := strings.Join(s.lines, ","); lines != want {
			t.Errorf("the commit is %s, want %s", lines, want)
		}
		found, err := c.Model(t.Context(), "org/name")
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(found.Paths[0], "model.safetensors"))
		if err != nil || string(data) != weights {
			t.Errorf("%d bytes came back, %v", len(data), err)
		}
		s.storage.Close() // what is stored is not sent again
		branch := Push{ID: "org/name", Revision: "v2", Message: "again", Files: files}
		if _, err := c.Push(t.Context(), branch); err != nil || !s.branches["v2"] {
			t.Errorf("the second push: %v, branches %v", err, s.branches)
		}
	}
}

// TestPushRefused names what a user must change.
func TestPushRefused(t *testing.T) {
	files, _ := pushed(t)
	public := false
	for _, test := range []struct {
		want string
		set  func(*pushStandIn, *Client, *Push)
	}{
		{"no token: set HF_TOKEN", func(_ *pushStandIn, c *Client, _ *Push) { c.Token = "" }},
		{"may not write there", func(_ *pushStandIn, c *Client, _ *Push) { c.Token = "other" }},
		{"HF_HUB_OFFLINE", func(_ *pushStandIn, c *Client, _ *Push) { c.Offline = true }},
		{"want org/name", func(_ *pushStandIn, _ *Client, p *Push) { p.ID = "name" }},
		{"no path inside", func(_ *pushStandIn, _ *Client, p *Push) {
			p.Files = []Upload{{Name: "../x"}}
		}},
		{"exists and is not private", func(s *pushStandIn, _ *Client, p *Push) {
			s.private, p.Private = &public, true
		}},
		{"tried 5 times", func(s *pushStandIn, _ *Client, _ *Push) {
			s.fail = func(*http.Request) int { return http.StatusBadGateway }
		}},
	} {
		s := newPushStandIn(t)
		c, p := s.client(), Push{ID: "org/name", Message: "m", Files: files}
		test.set(s, c, &p)
		if _, err := c.Push(t.Context(), p); err == nil || !strings.Contains(err.Error(),
			test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
		if len(s.lines) > 0 {
			t.Errorf("%s: something was committed", test.want)
		}
	}
}

// TestPythonPush has the hub's own client download what was pushed.
func TestPythonPush(t *testing.T) {
	s := newPushStandIn(t)
	files, weights := pushed(t)
	c := s.client()
	if _, err := c.Push(t.Context(), Push{ID: "org/name", Message: "m", Files: files}); err != nil {
		t.Fatal(err)
	}
	s.private = nil // the pages of the stand-in for readers
	out := python(t, `
from huggingface_hub import hf_hub_download
print(len(open(hf_hub_download("org/name", "model.safetensors")).read()))`,
		"HF_ENDPOINT="+s.front.URL, "HF_HOME="+t.TempDir())
	if out != strconv.Itoa(len(weights)) {
		t.Errorf("Python read %s bytes, want %d", out, len(weights))
	}
}
