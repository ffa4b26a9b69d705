package source

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"haf/pref"
	"haf/rewarder"
)

// TestParse reads names of every scheme, and refuses those of none.
func TestParse(t *testing.T) {
	names := map[string]struct {
		address string
		model   bool
	}{
		"runs/hh":                 {"runs/hh", true},
		"ORG/NAME@main":           {"ORG/NAME@main", true},
		"model.gguf":              {"model.gguf", true},
		"./odd:name":              {"./odd:name", true},
		"/data/a:b":               {"/data/a:b", true},
		"http://127.0.0.1:80#m":   {"http://127.0.0.1:80#m", false},
		"https://rewards.example": {"https://rewards.example", false},

		"vllm+http://h:1/pooling#m":   {"http://h:1/pooling#m", false},
		"vllm+https://h":              {"https://h", false},
		"sglang+http://h:1":           {"http://h:1", false},
		"sglang+https://h":            {"https://h", false},
		"openrlhf+http://h:1":         {"http://h:1", false},
		"openrlhf+https://h":          {"https://h", false},
		"judge+http://h:1/v1#model":   {"http://h:1/v1#model", false},
		"judge+https://h/v1#model":    {"https://h/v1#model", false},
		"scores:rewards.jsonl":        {"rewards.jsonl", false},
		"exec:python3 rule.py --fast": {"python3 rule.py --fast", false},
	}
	for name, want := range names {
		s, err := Parse(name)
		if err != nil || s.Address != want.address || IsModel(name) != want.model {
			t.Errorf("%q: %+v, %v", name, s, err)
		}
	}
	for _, s := range schemes {
		for _, prefix := range s.prefixes {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(names)), func(name string) bool {
				return strings.HasPrefix(name, prefix)
			}) {
				t.Errorf("no name begins with %q", prefix)
			}
		}
	}
	for name, want := range map[string]string{
		"":                   "the name is empty",
		"ftp://x":            `begins with "ftp:"`,
		"odd:name":           "as ./odd:name",
		"vllm+ftp://x":       `begins with "vllm+ftp:"`,
		"http://":            "is no address of a server",
		"http://u:secret@h/": "a query or a user",
	} {
		_, err := Parse(name)
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: the error has the password: %v", name, err)
		}
		if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), want) || IsModel(name) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
		if _, err := Open(t.Context(), name, Options{}); !errors.Is(err, ErrName) {
			t.Errorf("%q: opened: %v", name, err)
		}
	}
}

// TestOpenModel has models opened by the caller, and settings of theirs refused by others.
func TestOpenModel(t *testing.T) {
	var asked []string
	opt := Options{
		Model: func(_ context.Context, name string) (pref.Rewarder, error) {
			asked = append(asked, "open "+name)
			return rewarder.OnDemand{}, nil
		},
		FindModel: func(_ context.Context, name string) error {
			asked = append(asked, "find "+name)
			return nil
		},
		ModelSettings: true,
	}
	if err := Reach(t.Context(), "runs/hh", opt); err != nil {
		t.Error(err)
	}
	if r, err := Open(t.Context(), "runs/hh", opt); err != nil || Served(r, "score") != "" {
		t.Error(r, err)
	}
	if got := strings.Join(asked, ", "); got != "find runs/hh, open runs/hh" {
		t.Error(got)
	}
	_, err := Open(t.Context(), "http://127.0.0.1:1", opt)
	if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), "opened here") {
		t.Error(err)
	}
	for _, f := range []func() error{
		func() error { _, err := Open(t.Context(), "runs/hh", Options{}); return err },
		func() error { return Reach(t.Context(), "runs/hh", Options{}) },
	} {
		if err := f(); !errors.Is(err, errNoModels) {
			t.Error(err)
		}
	}
}
