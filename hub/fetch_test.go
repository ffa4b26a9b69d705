package hub

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tree lists the files below a folder.
func tree(t testing.TB, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func must(t testing.TB, s Found, err error) Found {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantError(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v, want one with %q", err, w)
		}
	}
}

var ctx = context.Background()

// The files that are needed come, in the Python client's layout, and a second call fetches nothing.
func TestModel(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	c.Token = "secret"
	var last [2]int64
	var begun bool
	c.Progress = func(what string, done, total int64) {
		begun = begun || done == 0
		last = [2]int64{done, total}
	}
	got, err := c.Model(ctx, "org/name")
	must(t, got, err)
	dir := filepath.Join(c.Cache, "models--org--name", "snapshots", commit1)
	if want := (Found{Named: "org/name", ID: "org/name", Revision: "main", Commit: commit1,
		Paths: []string{dir}}); got.Paths[0] != dir || got.Commit != commit1 || got.ID != want.ID ||
		got.Named != want.Named || got.Revision != "main" {
		t.Errorf("source %+v, want %+v", got, want)
	}
	want := []string{"chat_template.jinja", "config.json", "generation_config.json",
		"model.safetensors", "tokenizer.json", "tokenizer_config.json"}
	if names := tree(t, dir); !slices.Equal(names, want) {
		t.Errorf("snapshot %v, want %v", names, want)
	}
	for _, name := range want {
		if read(t, filepath.Join(dir, name)) != llama()[name] {
			t.Errorf("%s has another content", name)
		}
		to, err := os.Readlink(filepath.Join(dir, name))
		content := llama()[name]
		if wantTo := "../../blobs/" + etagFor([]byte(content), len(content) >= s.large); err != nil ||
			to != wantTo {
			t.Errorf("%s is a link to %s, %v; want %s", name, to, err, wantTo)
		}
	}
	if ref := read(t, filepath.Join(c.Cache, "models--org--name", "refs", "main")); ref != commit1 {
		t.Errorf("refs/main is %q", ref)
	}
	if size := int64(len(llama()["model.safetensors"])); !begun || last != [2]int64{size, size} {
		t.Errorf("progress ended at %v", last)
	}
	if s.leaked || len(s.tokens) == 0 {
		t.Errorf("the token came to the other host: %v; to the hub %d times", s.leaked, len(s.tokens))
	}
	s.asked("")
	must(t, got, func() error { _, err := c.Model(ctx, "hf:org/name"); return err }())
	if asked := s.asked(""); len(asked) != 1 {
		t.Errorf("a second call asked %v", asked)
	}
	// A commit that is there is used without asking; so is all else offline.
	_, err = c.Model(ctx, "org/name@"+commit1)
	must(t, got, err)
	c.Offline = true
	again, err := c.Model(ctx, "org/name")
	if must(t, again, err); again.Paths[0] != dir || again.Commit != commit1 {
		t.Errorf("offline: %+v", again)
	}
	if asked := s.asked(""); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
	_, err = c.Model(ctx, "org/name@other")
	wantError(t, err, "org/name@other is not whole in the cache", "HF_HUB_OFFLINE")
	_, err = c.Model(ctx, "runs/typo")
	wantError(t, err, "runs/typo is not on disk, so it was looked for on the hub")
}

// The tokenizer of a model comes without its weights, and is there offline.
func TestTokenizer(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	got, err := c.Tokenizer(ctx, "org/name")
	must(t, got, err)
	names := tree(t, got.Paths[0])
	if slices.Contains(names, "model.safetensors") || !slices.Contains(names, "tokenizer.json") ||
		!slices.Contains(names, "config.json") || !slices.Contains(names, "chat_template.jinja") {
		t.Errorf("snapshot %v", names)
	}
	c.Offline = true
	again, err := c.Tokenizer(ctx, "org/name")
	if must(t, again, err); again.Paths[0] != got.Paths[0] {
		t.Errorf("offline: %+v", again)
	}
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, "is not whole in the cache")
	c.Offline = false
	whole, err := c.Model(ctx, "org/name")
	if must(t, whole, err); !slices.Contains(tree(t, whole.Paths[0]), "model.safetensors") {
		t.Error("the weights did not come with the model")
	}
	dir := t.TempDir()
	if local, err := c.Tokenizer(ctx, dir); err != nil || local.Paths[0] != dir {
		t.Error(local, err)
	}
}

// A folder on disk wins, and what is no id stays a path.
func TestLocalWins(t *testing.T) {
	s := newStandIn(t)
	c := s.client(t)
	t.Chdir(t.TempDir())
	write(t, "org/name/config.json", "{}")
	write(t, "datasets/org/name/x.jsonl", "{}")
	for _, path := range []string{"org/name", "nowhere", "a/b/c", "./x/y"} {
		if got, err := c.Model(ctx, path); err != nil || got.ID != "" ||
			!slices.Equal(got.Paths, []string{path}) {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	for _, path := range []string{"datasets/org/name/x.jsonl", "train.jsonl", "data/train.jsonl"} {
		if got, err := c.Data(ctx, path); err != nil || got.ID != "" ||
			!slices.Equal(got.Paths, []string{path}) {
			t.Errorf("%s: %+v, %v", path, got, err)
		}
	}
	if asked := s.asked(""); len(asked) != 0 {
		t.Errorf("asked %v", asked)
	}
}

// When a branch moves, only what has changed is fetched, and the old snapshot stays.
func TestMoved(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	first, err := c.Model(ctx, "org/name")
	must(t, first, err)
	s.asked("")
	s.commits["models/org/name@main"] = commit2
	s.files["models/org/name"]["config.json"] = []byte(`{"model_type":"qwen2"}`)
	now, err := c.Model(ctx, "org/name")
	must(t, now, err)
	if asked := s.asked("GET"); len(asked) != 2 { // the list and config.json
		t.Errorf("asked %v", asked)
	}
	if now.Commit != commit2 || !strings.Contains(read(t, filepath.Join(now.Paths[0], "config.json")),
		"qwen2") || !strings.Contains(read(t, filepath.Join(first.Paths[0], "config.json")), "llama") {
		t.Errorf("%+v after %+v", now, first)
	}
	// A run that began with the old one gets the old one.
	if err := os.RemoveAll(filepath.Dir(first.Paths[0])); err != nil {
		t.Fatal(err)
	}
	s.files["models/org/name"]["config.json"] = []byte(`{"model_type":"llama"}`)
	back, err := c.Restore(ctx, first)
	if must(t, back, err); back.Commit != commit1 || back.Paths[0] != first.Paths[0] ||
		back.Revision != "main" || !exists(filepath.Join(back.Paths[0], "model.safetensors")) {
		t.Errorf("restored %+v, want %+v", back, first)
	}
}

func TestChoice(t *testing.T) {
	base := map[string]string{"config.json": "{}", "tokenizer.json": "{}"}
	with := func(more map[string]string) map[string]string {
		out := map[string]string{}
		for _, m := range []map[string]string{base, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string // weights, or the error
	}{
		"sharded": {with(map[string]string{"model.safetensors.index.json": `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}`,
			"model-00001-of-00002.safetensors": "1", "model-00002-of-00002.safetensors": "2",
			"consolidated.safetensors": "3"}),
			"model-00001-of-00002.safetensors model-00002-of-00002.safetensors"},
		"adapter": {map[string]string{"adapter_config.json": "{}", "adapter_model.safetensors": "1",
			"optimizer.pt": "2"}, "adapter_model.safetensors"},
		"other name": {with(map[string]string{"pytorch_model.safetensors": "1"}),
			"pytorch_model.safetensors"},
		"pickle": {with(map[string]string{"pytorch_model.bin": "1", "sub/x.safetensors": "2"}),
			"can run code when it is opened (pytorch_model.bin)"},
		"gguf": {with(map[string]string{"a-q4.gguf": "1"}), "name the one to use, as in " +
			"org/name/a-q4.gguf"},
		"none": {with(map[string]string{"README.md": "1"}), "has no weights"},
		"no config": {map[string]string{"model.safetensors": "1", "tokenizer.json": "{}"},
			"neither config.json nor adapter_config.json"},
		"missing shard": {
			with(map[string]string{"x.safetensors": "1",
				"model.safetensors.index.json": `{"weight_map":{"a":"y.safetensors"}}`}),
			`names "y.safetensors", which the repository lacks`},
		"bad index": {
			with(map[string]string{"x.safetensors": "1",
				"model.safetensors.index.json": `{"weight_map":{"a":"../../y.safetensors"}}`}),
			"no path inside a repository"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t)
			s.put("models/org/name", test.files)
			c := s.client(t)
			got, err := c.Model(ctx, "org/name")
			if err != nil {
				wantError(t, err, test.want)
				for _, name := range tree(t, c.Cache) {
					if strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".bin") {
						t.Errorf("%s was fetched", name)
					}
				}
				if name == "pickle" && len(s.asked("resolve")) > 0 {
					t.Error("something was fetched")
				}
				return
			}
			var names []string
			for _, name := range tree(t, got.Paths[0]) {
				if strings.HasSuffix(name, ".safetensors") {
					names = append(names, name)
				}
			}
			if strings.Join(names, " ") != test.want {
				t.Errorf("weights %v, want %s", names, test.want)
			}
			c.Offline = true
			if again, err := c.Model(ctx, "org/name"); err != nil || again.Paths[0] != got.Paths[0] {
				t.Errorf("offline: %+v, %v", again, err)
			}
		})
	}
}

func TestGGUF(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	got, err := c.Model(ctx, "org/name/model-q4.gguf")
	must(t, got, err)
	if names := tree(t, filepath.Join(c.Cache, "models--org--name", "snapshots",
		commit1)); !slices.Equal(names, []string{"model-q4.gguf"}) ||
		filepath.Base(got.Paths[0]) != "model-q4.gguf" {
		t.Errorf("%+v; snapshot %v", got, names)
	}
	_, err = c.Model(ctx, "org/name/q8.gguf")
	wantError(t, err, "org/name has no q8.gguf; there are")
}

func TestData(t *testing.T) {
	s := newStandIn(t)
	s.put("datasets/org/prefs", map[string]string{
		"README.md": "x", "data/train-00000-of-00002.parquet": "a",
		"data/train-00001-of-00002.parquet": "b", "data/test-00000-of-00001.parquet": "c",
		"helpful-base/train.jsonl.gz": strings.Repeat("d", 5000), "helpful-base/test.jsonl.gz": "e",
		"trained.jsonl": "f",
	})
	c := s.client(t)
	for path, want := range map[string]string{
		"datasets/org/prefs/helpful-base/train.jsonl.gz": "helpful-base/train.jsonl.gz",
		"hf:datasets/org/prefs/train": "data/train-00000-of-00002.parquet " +
			"data/train-00001-of-00002.parquet",
		"datasets/org/prefs/test@main": "data/test-00000-of-00001.parquet",
		"datasets/org/prefs/data/train-*.parquet": "data/train-00000-of-00002.parquet " +
			"data/train-00001-of-00002.parquet",
		"datasets/org/prefs/helpful-base/test":            "helpful-base/test.jsonl.gz",
		"datasets/org/prefs/data/train-00001*@" + commit1: "data/train-00001-of-00002.parquet",
		"hf:datasets/org/prefs/helpful-base/*.jsonl.gz@main": "helpful-base/test.jsonl.gz " +
			"helpful-base/train.jsonl.gz",
	} {
		for _, offline := range []bool{false, true} {
			c.Offline = offline
			got, err := c.Data(ctx, path)
			must(t, got, err)
			var names []string
			for _, p := range got.Paths {
				name, err := filepath.Rel(filepath.Join(c.Cache, "datasets--org--prefs", "snapshots", commit1),
					p)
				if err != nil || !exists(p) {
					t.Errorf("%s: %v", p, err)
				}
				names = append(names, name)
			}
			if strings.Join(names, " ") != want || got.ID != "datasets/org/prefs" {
				t.Errorf("%s: %v of %s, want %s", path, names, got.ID, want)
			}
		}
	}
	c.Offline = false
	_, err := c.Data(ctx, "datasets/org/prefs/valid")
	wantError(t, err, "names no file of that data set: choose of data/test-00000-of-00001.parquet, ")
	_, err = c.Data(ctx, "hf:datasets/org/prefs")
	wantError(t, err, "hub: datasets/org/prefs has 2 splits: name one of datasets/org/prefs:train, "+
		"datasets/org/prefs:test")
	delete(s.files["datasets/org/prefs"], "data/train-00000-of-00002.parquet")
	_, err = c.Data(ctx, "datasets/org/prefs/train")
	wantError(t, err, "1 of the 2 shards of train-of-00002 are there")
}

// Errors of the hub, each with its next move.
func TestRefused(t *testing.T) {
	for name, test := range map[string]struct {
		path, token string
		status      int
		code        string
		on          string // part of the paths refused
		want        []string
	}{
		"unknown": {path: "org/nothing",
			want: []string{"there is no org/nothing (Repository not found)", "is the id right?",
				"not on disk"}},
		"revision": {path: "org/name@v9", want: []string{`has no revision "v9"`}},
		"gated": {path: "hf:org/name", status: 401, code: "GatedRepo", on: "/resolve/",
			want: []string{"is gated", "accept its licence at http", "/org/name and set HF_TOKEN"}},
		"gated, token": {path: "hf:org/name", token: "t", status: 403, code: "GatedRepo", on: "/resolve/",
			want: []string{"the token that is set may not read it", "accept its licence at http"}},
		"forbidden": {path: "hf:org/name", status: 403, on: "/resolve/",
			want: []string{"access refused", "accept the licence at http"}},
		"bad token": {path: "hf:org/name", token: "t", status: 401, on: "/api/",
			want: []string{"refuses the token", "still valid"}},
		"missing": {path: "hf:org/name", status: 404, code: "EntryNotFound", on: "config.json",
			want: []string{"no such file"}},
		"hub is down": {path: "hf:org/name", status: 503, on: "/api/",
			want: []string{"503", "tried 5 times", "HF_ENDPOINT"}},
		"too many": {path: "hf:org/name", status: 429, on: "model.safetensors",
			want: []string{"429", "tried 5 times"}},
		"nonsense": {path: "hf:org/name", status: 418, on: "/api/",
			want: []string{"answers 418"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStandIn(t)
			s.put("models/org/name", llama())
			c := s.client(t)
			c.Token = test.token
			s.refuse = func(r *http.Request) (int, string) {
				if test.status != 0 && strings.Contains(r.URL.Path, test.on) {
					return test.status, test.code
				}
				return 0, ""
			}
			_, err := c.Model(ctx, test.path)
			wantError(t, err, test.want...)
		})
	}
}

// The network may go once the model is there, and a hub that is down is no hub.
func TestCachedIsEnough(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	want, err := c.Model(ctx, "org/name")
	must(t, want, err)
	var said []string
	c.Say = func(format string, args ...any) { said = append(said, format) }
	for name, prepare := range map[string]func(){
		"gone":  func() { c.Endpoint = "http://127.0.0.1:1" },
		"down":  func() { s.refuse = func(*http.Request) (int, string) { return 500, "" } },
		"gated": func() { s.refuse = func(*http.Request) (int, string) { return 403, "GatedRepo" } },
	} {
		said, c.Endpoint = nil, s.URL
		prepare()
		got, err := c.Model(ctx, "org/name")
		if must(t, got, err); got.Paths[0] != want.Paths[0] || len(said) != 1 ||
			!strings.Contains(said[0], "as it is in the cache") {
			t.Errorf("%s: %+v, said %q", name, got, said)
		}
	}
	c.Endpoint = "http://127.0.0.1:1"
	_, err = c.Model(ctx, "org/other")
	wantError(t, err, "the hub cannot be reached", "check the network")
	// A revision that the hub no longer has is not taken from the cache.
	c.Endpoint, s.refuse = s.URL, nil
	delete(s.commits, "models/org/name@main")
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, `has no revision "main"`)
	// A snapshot that lacks its weights is not whole.
	if err := os.Remove(filepath.Join(want.Paths[0], "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	c.Offline = true
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, "is not whole in the cache")
}

func TestHostile(t *testing.T) {
	s := newStandIn(t)
	files := llama()
	files["../../../config.json"] = "x"
	s.put("models/org/name", files)
	c := s.client(t)
	_, err := c.Model(ctx, "org/name")
	wantError(t, err, "no path inside it")
	s.put("models/org/name", llama())
	s.commits["models/org/name@main"] = "../../x"
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, "want 40 hexadecimal digits")
	page := "<html>log in"
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_,
			_ = w.Write([]byte(page))
	})
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, "is not the hub's")
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/api/") {
			_, _ = w.Write(
				[]byte(`{"sha":"` + commit1 +
					`","siblings":[{"rfilename":"config.json"},{"rfilename":"model.safetensors"}]}`))
			return
		}
		w.Header().Set("ETag", `"../../../x"`)
	})
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, "want a hash")
	s.Config.Handler = http.RedirectHandler("/again", http.StatusFound)
	_, err = c.Model(ctx, "org/name")
	wantError(t, err, "more than 10 times")
	if names := tree(t, c.Cache); len(names) > 0 {
		t.Errorf("left %v", names)
	}
}

// A full disk is told before anything large is fetched, or where it fills up.
func TestFull(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	c := s.client(t)
	c.free = func(string) (uint64, bool) { return 20000, true }
	_, err := c.Model(ctx, "org/name")
	wantError(t, err, "65.5 kB are to be fetched", "has room for 20.0 kB", "HF_HOME")
	if asked := s.asked("cdn GET model.safetensors"); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	wantError(t, c.onDisk(&fs.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}), "is full",
		"again to resume")
	wantError(t, c.onDisk(&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}),
		"that you may write")
	if n, ok := freeBytes(filepath.Join(c.Cache, "not", "there")); ok && n == 0 {
		t.Error("no room on the disk of the test?")
	}
}

// Programs that want the same model at the same time fetch it once.
func TestConcurrent(t *testing.T) {
	s := newStandIn(t)
	s.put("models/org/name", llama())
	first := s.client(t)
	s.tamper = func(http.ResponseWriter, *http.Request, []byte) bool {
		time.Sleep(20 * time.Millisecond)
		return false
	}
	var wait sync.WaitGroup
	for range 6 {
		c := s.client(t)
		c.Cache = first.Cache
		wait.Go(func() {
			if _, err := c.Model(ctx, "org/name"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if asked := s.asked("cdn GET"); len(asked) != 2 { // the tokenizer and the weights
		t.Errorf("asked %v", asked)
	}
}
