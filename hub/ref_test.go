package hub

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestParseRef(t *testing.T) {
	for text, want := range map[string]Ref{
		"org/name":                         {ID: "org/name", Revision: "main"},
		"hf:org/name":                      {ID: "org/name", Revision: "main"},
		"hf://org/name":                    {ID: "org/name", Revision: "main"},
		"org/na.me-1_B@refs/pr/1":          {ID: "org/na.me-1_B", Revision: "refs/pr/1"},
		"org/name/q4/file.gguf@" + commit1: {ID: "org/name", File: "q4/file.gguf", Revision: commit1},
		"hf:datasets/org/name/data/a.jsonl.gz": {Dataset: true, ID: "org/name", File: "data/a.jsonl.gz",
			Revision: "main"},
		"datasets/org/name/train@v1.0": {Dataset: true, ID: "org/name", File: "train",
			Revision: "v1.0"},
		"datasets/org/name:a b/train@v1": {Dataset: true, ID: "org/name", Part: "a b/train",
			Revision: "v1"},
		"datasets/org/name:train": {Dataset: true, ID: "org/name", Part: "train",
			Revision: "main"},
		"hf:datasets/org/name/en/x:/test": {Dataset: true, ID: "org/name", File: "en/x", Part: "/test",
			Revision: "main"},
	} {
		got, err := ParseRef(text)
		if err != nil || got != want {
			t.Errorf("ParseRef(%q) = %+v, %v; want %+v", text, got, err, want)
		}
		if again, err := ParseRef(got.String()); err != nil || again != want {
			t.Errorf("%q: as %q it is %+v, %v", text, got.String(), again, err)
		}
	}
	for _, text := range []string{"", "name", "hf:", "hf:name", "/abs/path", "../up/x", "./a/b",
		"~/models/x", "org/", "org/na me", "org/a--b", "org/a..b", "org/x.git",
		"org/name@", "org/name@../x", "org/name@/x", "org/name@a b", "org/name/../x", "org/name/a/../b",
		"org/name//b", "org/name/a\\b", "datasets/org", `c:\models\x`, "org/name@a/../../b",
		"org/name:train", "datasets/org/name:", "datasets/org/name:a/b/c", "datasets/org/name:a/",
		"datasets/org/name:a:b", "datasets/org/name/../x:train", `datasets/org/name:a\b`} {
		if got, err := ParseRef(text); err == nil {
			t.Errorf("ParseRef(%q) = %+v, want an error", text, got)
		}
	}
}

// What is meant for the hub, and what is a local path that is not there.
func TestMeant(t *testing.T) {
	for text, want := range map[string]bool{
		"org/name": true, "org/name@v1": true, "org/name/file.gguf": true, "hf:org/name": true,
		"meta-llama/Llama-3.2-1B": true,
		"name":                    false, "a/b/c": false, "base/model.safetensors": false,
		"./org/name": false, "/org/name": false, "datasets/org/name": false,
	} {
		if _, ok, err := modelRef(text); ok != want || err != nil {
			t.Errorf("modelRef(%q) = %v, %v; want %v", text, ok, err, want)
		}
	}
	for text, want := range map[string]bool{
		"datasets/org/name/x.jsonl": true, "hf:datasets/org/name": true, "data/train.jsonl": false,
		"org/name/x.jsonl": false, "datasets/train.jsonl": false,
	} {
		if _, ok, err := dataRef(text); ok != want || err != nil {
			t.Errorf("dataRef(%q) = %v, %v; want %v", text, ok, err, want)
		}
	}
	for text, want := range map[string]string{
		"hf:name": "is no id", "hf:org/name/model.bin": "a model is taken whole",
		"hf:datasets/org/name": "is a data set, want a model",
	} {
		if _, _, err := modelRef(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("modelRef(%q): %v, want %q", text, err, want)
		}
	}
	if _, _, err := dataRef("hf:org/name/x.jsonl"); err == nil ||
		!strings.Contains(err.Error(), "data is in a data set") {
		t.Errorf("dataRef: %v", err)
	}
}

func FuzzParseRef(f *testing.F) {
	for _, text := range []string{"org/name", "hf:datasets/a/b/c.jsonl@refs/pr/2", "a/b@..", "a/../b",
		"a/b/\x00", "hf://", "datasets/a/b:c/d@e", "datasets/a/b/c:/d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseRef(text)
		if err != nil {
			return
		}
		if again, err := ParseRef(ref.String()); err != nil || again != ref {
			t.Errorf("%q: %+v, as %q %+v, %v", text, ref, ref.String(), again, err)
		}
		// Nothing that it names is outside its folder in the cache.
		for _, inside := range []string{ref.folder(), filepath.FromSlash(ref.Revision),
			"x/" + filepath.FromSlash(ref.File)} {
			if !filepath.IsLocal(inside) {
				t.Errorf("%q: %q leads outside", text, inside)
			}
		}
	})
}

// The environment as the Python client reads it.
func TestFromEnv(t *testing.T) {
	home := t.TempDir()
	clear := func(set map[string]string) {
		for _, name := range []string{"HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
			"XDG_CACHE_HOME", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT",
			"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN"} {
			t.Setenv(name, set[name])
		}
		t.Setenv("HOME", home)
	}
	write(t, filepath.Join(home, ".cache", "huggingface", "token"), "from-file\n")
	for _, test := range []struct {
		set                    map[string]string
		cache, token, endpoint string
		offline                bool
	}{
		{nil, home + "/.cache/huggingface/hub", "from-file", DefaultEndpoint, false},
		{map[string]string{"XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub", "", DefaultEndpoint, false},
		{map[string]string{"HF_HOME": "~/hf", "HF_TOKEN": " a\n"}, home + "/hf/hub", "a", DefaultEndpoint,
			false},
		{map[string]string{"HF_HOME": "/h", "HF_HUB_CACHE": "$HOME/c", "HUGGING_FACE_HUB_TOKEN": "b"},
			home + "/c", "b", DefaultEndpoint, false},
		{map[string]string{"HF_ENDPOINT": "http://mirror:8/", "HF_HUB_OFFLINE": "1",
			"HF_HUB_DISABLE_IMPLICIT_TOKEN": "yes"}, home + "/.cache/huggingface/hub", "", "http://mirror:8",
			true},
		{map[string]string{"TRANSFORMERS_OFFLINE": "true", "HF_TOKEN_PATH": home +
			"/.cache/huggingface/token", "HF_HOME": "/h"}, "/h/hub", "from-file", DefaultEndpoint, true},
	} {
		clear(test.set)
		c, err := FromEnv()
		if err != nil {
			t.Fatal(err)
		}
		if c.Cache != test.cache || c.Token != test.token || c.Endpoint != test.endpoint ||
			c.Offline != test.offline {
			t.Errorf("%v: cache %s, token %q, endpoint %s, offline %v; want %+v", test.set, c.Cache, c.Token,
				c.Endpoint, c.Offline, test)
		}
	}
	clear(map[string]string{"HF_ENDPOINT": "mirror"})
	if _, err := FromEnv(); err == nil || !strings.Contains(err.Error(), "HF_ENDPOINT") {
		t.Errorf("a bad endpoint: %v", err)
	}
}
