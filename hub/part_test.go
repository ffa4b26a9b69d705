package hub

import (
	"context"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const card = `---
configs:
- config_name: small
  default: true
  data_files:
  - split: train
    path: small/train-*
  - split: test
    path: small/test.jsonl
- config_name: large
  data_files:
  - split: train
    path:
    - large/b.jsonl
    - large/a.jsonl
- config_name: up
  data_files: ../other/*.jsonl
---
`

// prefs is a data set of two configurations whose splits are in shards.
func prefs() map[string]string {
	return map[string]string{
		"README.md":                             card,
		"small/train-00000-of-00002.parquet":    strings.Repeat("a", 5000),
		"small/train-00001-of-00002.parquet":    strings.Repeat("b", 3000),
		"small/test.jsonl":                      "c",
		"large/a.jsonl":                         "d",
		"large/b.jsonl":                         "e",
		"data/train-00000-of-00001.parquet":     "f",
		"saved/train/data-00000-of-00001.arrow": "g",
	}
}

func names(t *testing.T, c *Client, s Found) string {
	t.Helper()
	var out []string
	for _, path := range s.Paths {
		name, err := filepath.Rel(filepath.Join(c.Cache, "datasets--org--prefs", "snapshots", commit1),
			path)
		if err != nil || !exists(path) {
			t.Errorf("%s: %v", path, err)
		}
		out = append(out, filepath.ToSlash(name))
	}
	return strings.Join(out, " ")
}

// Parts of a data set are found by its README.md, and nothing else of it is fetched.
func TestParts(t *testing.T) {
	const train = "small/train-00000-of-00002.parquet small/train-00001-of-00002.parquet"
	s := newStandIn(t)
	s.put("datasets/org/prefs", prefs())
	for path, want := range map[string]string{
		"datasets/org/prefs:small/train":               train,
		"datasets/org/prefs:train":                     train,
		"hf:datasets/org/prefs:/train@main":            train,
		"datasets/org/prefs:train@" + commit1:          train,
		"datasets/org/prefs:test":                      "small/test.jsonl",
		"datasets/org/prefs:large":                     "large/b.jsonl large/a.jsonl",
		"datasets/org/prefs:large/train":               "large/b.jsonl large/a.jsonl",
		"datasets/org/prefs/large":                     "large/a.jsonl large/b.jsonl",
		"datasets/org/prefs/small:test":                "small/test.jsonl",
		"datasets/org/prefs/small/test.jsonl":          "small/test.jsonl",
		"datasets/org/prefs/**/train-*.parquet":        "data/train-00000-of-00001.parquet " + train,
		"datasets/org/prefs/saved/train":               "saved/train/data-00000-of-00001.arrow",
		"datasets/org/prefs/small/train-00001-of-*":    "small/train-00001-of-00002.parquet",
		"datasets/org/prefs/small:train":               train,
		"datasets/org/prefs/small/train":               train,
		"datasets/org/prefs/large/[a]*.jsonl":          "large/a.jsonl",
		"datasets/org/prefs/data:train":                "data/train-00000-of-00001.parquet",
		"datasets/org/prefs/data/train-00000-of-00001": "data/train-00000-of-00001.parquet",
	} {
		c := s.client(t) // a cache of its own
		for _, offline := range []bool{false, true} {
			c.Offline = offline
			got, err := c.Data(ctx, path)
			if must(t, got, err); names(t, c, got) != want || got.ID != "datasets/org/prefs" {
				t.Errorf("%s: %s of %s, want %s", path, names(t, c, got), got.ID, want)
			}
		}
		for _, name := range tree(t, filepath.Join(c.Cache, "datasets--org--prefs", "snapshots",
			commit1)) {
			if name != "README.md" && !strings.Contains(want, filepath.ToSlash(name)) {
				t.Errorf("%s: %s was fetched", path, name)
			}
		}
	}
}

func TestPartErrors(t *testing.T) {
	s := newStandIn(t)
	s.put("datasets/org/prefs", prefs())
	s.put("datasets/org/table", map[string]string{"README.md": "x", "train.csv": "a,b"})
	s.put("datasets/org/plain", map[string]string{"train.jsonl": "a", "test.jsonl": "b",
		"rest.jsonl": "c"})
	c := s.client(t)
	for _, path := range []string{"datasets/org/prefs:test", "datasets/org/plain:train"} {
		got, err := c.Data(ctx, path)
		must(t, got, err)
	}
	for _, offline := range []bool{false, true} {
		c.Offline = offline
		for path, want := range map[string]string{
			"datasets/org/prefs": "datasets/org/prefs has 2 splits: name one of " +
				"datasets/org/prefs:small/train, datasets/org/prefs:small/test, datasets/org/prefs:large/train",
			"datasets/org/prefs:dev":       `datasets/org/prefs has no configuration "dev": there are datasets/org/prefs:small/train`,
			"datasets/org/prefs:small/dev": `datasets/org/prefs has no split "dev": there are datasets/org/prefs:small/train`,
			"datasets/org/prefs:large/dev": `datasets/org/prefs has no split "dev": there are`,
			"datasets/org/prefs:up":        `"../other/*.jsonl" is no path inside the data set`,
			"datasets/org/prefs/none:x":    "no such folder in that data set",
			"datasets/org/table:train": "haf does not read train.csv, want .jsonl, .json, .parquet " +
				"and .arrow",
			"datasets/org/plain:dev": `datasets/org/plain has no split "dev": there are datasets/org/plain:train, datasets/org/plain:test`,
		} {
			_, err := c.Data(ctx, path)
			if offline && strings.HasPrefix(path, "datasets/org/table") {
				want = "" // nothing of it was fetched but the names and README.md
			}
			wantError(t, err, want)
		}
	}
}

// Without a network a part is taken from the cache only if all of it is there.
func TestPartOffline(t *testing.T) {
	s := newStandIn(t)
	s.put("datasets/org/prefs", prefs())
	c := s.client(t)
	got, err := c.Data(ctx, "datasets/org/prefs/small/train-00000-of-00002.parquet")
	must(t, got, err)
	c.Offline = true
	_, err = c.Data(ctx, "datasets/org/prefs:train")
	wantError(t, err, "is not whole in the cache")
	_, err = c.Data(ctx, "datasets/org/prefs/small/*.parquet")
	wantError(t, err, "is not whole in the cache")
	c.Offline = false
	got, err = c.Data(ctx, "datasets/org/prefs:train")
	if must(t, got, err); len(got.Paths) != 2 {
		t.Errorf("%+v", got)
	}
}

// A part whose download was interrupted is continued, also where a run asks for it by its commit.
func TestPartInterrupted(t *testing.T) {
	s := newStandIn(t)
	s.put("datasets/org/prefs", prefs())
	c := s.client(t)
	stopped, cancel := context.WithCancel(ctx)
	s.tamper = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return true
	}
	c.Progress = func(_ string, done, _ int64) {
		if done >= 2000 {
			cancel()
		}
	}
	_, err := c.Data(stopped, "datasets/org/prefs:train")
	wantError(t, err, "keeps the part that came")
	c.Offline = true
	_, err = c.Data(ctx, "datasets/org/prefs:train")
	wantError(t, err, "is not whole in the cache")
	c.Offline, c.Progress, s.tamper, s.ranges = false, nil, nil, nil
	got, err := c.Data(ctx, "datasets/org/prefs:train")
	if must(t, got, err); len(got.Paths) != 2 ||
		read(t, got.Paths[0]) != prefs()["small/train-00000-of-00002.parquet"] {
		t.Errorf("%+v", got)
	}
	if len(s.ranges) != 2 || s.ranges[0] != "bytes=1000-" || s.ranges[1] != "bytes=1000-" {
		t.Errorf("ranges %q", s.ranges)
	}
	got.Paths[0] = "gone"
	again, err := c.Restore(ctx, got)
	if must(t, again, err); len(again.Paths) != 2 || !exists(again.Paths[0]) {
		t.Errorf("%+v", again)
	}
}

// Paths on disk are left to the reader.
func TestDataOnDisk(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "datasets", "org", "name", "a.jsonl"), "{}")
	write(t, filepath.Join(dir, "hf", "a.jsonl"), "{}")
	t.Chdir(dir)
	s := newStandIn(t)
	c := s.client(t)
	for _, path := range []string{"datasets/org/name", "datasets/org/name:train",
		"datasets/org/name/*.jsonl", "datasets/*/name/a.jsonl", "datasets/org/name/a.jsonl",
		"none/*.jsonl"} {
		got, err := c.Data(ctx, path)
		if must(t, got, err); got.ID != "" || len(got.Paths) != 1 || got.Paths[0] != path {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if asked := s.asked(""); len(asked) > 0 {
		t.Errorf("asked %v", asked)
	}
	_, err := c.Data(ctx, "hf:datasets/org/name") // a folder of the scheme's name changes nothing
	wantError(t, err, "there is no datasets/org/name")
}
