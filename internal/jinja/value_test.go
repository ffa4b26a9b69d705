package jinja

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// What is not Python's is an error, not another text.
func TestNotSupported(t *testing.T) {
	for source, want := range map[string]string{
		"{{ 99999999999999999999 }}":                 "64 bits",
		"{{ 9223372036854775807 + 1 }}":              "64 bits",
		"{{ -9223372036854775807 - 2 }}":             "64 bits",
		"{{ 9223372036854775807 * 2 }}":              "64 bits",
		"{{ '{:>5}'.format(1) }}":                    "not supported",
		"{{ 1 | pprint }}":                           `no filter "pprint"`,
		"{{ 1 is nothing }}":                         `no test "nothing"`,
		"{% autoescape true %}{% endautoescape %}":   `"autoescape" is not known`,
		"{% include 'x' %}":                          `"include" is not known`,
		"{{ strftime_now('%Q') }}":                   "%Q is not supported",
		"{{ [1].append(2) }}":                        `no method "append"`,
		"{{ raise_exception('roles: ' ~ [1]) }}":     "refuses the conversation: roles: [1]",
		"{{ [1] | map('string') }}":                  "add | list",
		"{{ [d.items] }}":                            "call it",
		"{{ big + 1 }}":                              "is not supported",
		"{{ missing.name }}":                         `"missing" is undefined`,
		"{{ d.missing.name }}":                       `the attribute "missing" is undefined`,
		"{{ 'a' + 1 }}":                              "str + int is not supported",
		"{{ 1 | center(1, 2) }}":                     "at most 1 arguments",
		"{{ 'a'.replace('b') }}":                     `wants an argument "new"`,
		"{% macro f(a) %}{% endmacro %}{{ f(b=1) }}": "takes no kwargs",
	} {
		vars := Variables{"big": BigInt("123456789012345678901234567890"), "d": NewDict()}
		if _, err := render(source, vars); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", source, err, want)
		}
	}
}

func TestFromJSON(t *testing.T) {
	text := `{"z": [1, 1.0, -0.5, 1e20, null, true, "é\n"], ` +
		`"a": {"b": {}, "z": 123456789012345678901}}`
	v, err := FromJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got, err := render("{{ v | tojson }} {{ v.a.z }} {{ v.a.z is integer }}", Variables{"v": v})
	want := strings.Replace(text, "1e20", "1e+20", 1) +
		" 123456789012345678901 True"
	if err != nil || got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	v, err = FromJSON([]byte(`{"a": 1, "b": 2, "a": 3}`))
	if got, _ := render("{{ v }}", Variables{"v": v}); err != nil || got != "{'a': 3, 'b': 2}" {
		t.Errorf("%q (%v)", got, err)
	}
	for _, bad := range []string{"", "{", "[1", "1 2", `{"a"}`, "nan", strings.Repeat("[", 1<<20)} {
		if _, err := FromJSON([]byte(bad)); err == nil {
			t.Errorf("%.20s: no error", bad)
		}
	}
}

func TestStrftime(t *testing.T) {
	source := "{{ strftime_now('%Y-%m-%d %H:%M:%S.%f %y %b %B %a %A %I %p %j') }}" +
		"{{ strftime_now(' %F %T %D %e %-d %-I %% x') }}"
	want := "2026-11-24 07:08:09.012345 26 Nov November Tue Tuesday 07 AM 328 2026-11-24 07:08:09 " +
		"11/24/26 24 24 7 % x"
	if got, err := render(source, nil); err != nil || got != want {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
}

func TestMentions(t *testing.T) {
	tpl, err := Parse("{% if strftime_now is defined %}{{ x }}{% endif %}")
	if err != nil {
		t.Fatal(err)
	}
	if !tpl.Mentions("strftime_now") || !tpl.Mentions("x") || tpl.Mentions("y") {
		t.Error("the names are not those of the template")
	}
}

// Renderings of one template share nothing that changes.
func TestConcurrent(t *testing.T) {
	tpl, err := Parse("{% set ns = namespace(n=0) %}{% macro f(x) %}{% set ns.n = ns.n + x %}" +
		"{% endmacro %}{% for i in range(n) %}{{ f(i) }}{% endfor %}{{ ns.n }}")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				got, err := tpl.Render(Variables{"n": Int(10)}, time.Now, Limits{})
				if err != nil || got != "45" {
					t.Errorf("%q (%v)", got, err)
					return
				}
			}
		})
	}
	wait.Wait()
}
