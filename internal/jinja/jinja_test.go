package jinja

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

// pythonCases are templates rendered by jinja2 (testdata/python.py), with their variables.
func pythonCases(t testing.TB) (Variables, [][2]*string) {
	raw, err := os.ReadFile("testdata/python.json")
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Vars  map[string]json.RawMessage
		Cases [][2]*string
	}
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	vars := Variables{}
	for name, text := range stored.Vars {
		if vars[name], err = FromJSON(text); err != nil {
			t.Fatal(err)
		}
	}
	return vars, stored.Cases
}

func render(source string, vars Variables) (string, error) {
	tpl, err := Parse(source)
	if err != nil {
		return "", err
	}
	day := time.Date(2026, 11, 24, 7, 8, 9, 12345678, time.UTC)
	return tpl.Render(vars, func() time.Time { return day }, Limits{})
}

func TestPython(t *testing.T) {
	vars, cases := pythonCases(t)
	for _, c := range cases {
		got, err := render(*c[0], vars)
		switch {
		case c[1] == nil && err == nil:
			t.Errorf("%s: rendered %q, want an error", *c[0], got)
		case c[1] != nil && err != nil:
			t.Errorf("%s: %v, want %q", *c[0], err, *c[1])
		case c[1] != nil && got != *c[1]:
			t.Errorf("%s:\n got %q\nwant %q", *c[0], got, *c[1])
		}
	}
	if len(cases) < 3000 || !strings.Contains(*cases[0][0], "nil") {
		t.Errorf("%d cases", len(cases))
	}
}
