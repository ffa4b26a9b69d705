package jinja

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A template that would not end, or would make values without end, is stopped within its limits,
// and before the memory is taken.
func TestLimits(t *testing.T) {
	const (
		steps = "steps: it was stopped"
		text  = "a text of more than 64 MB: it was stopped"
		list  = "elements: it was stopped"
		made  = "MB of text: it was stopped"
	)
	big := "{% set s = 'x' * 60000000 %}"
	doubled := "{% set ns = namespace(v=[1]) %}{% for i in range(80) %}" +
		"{% set ns.v = [ns.v, ns.v] %}{% endfor %}"
	deep := "{% set ns = namespace(v=[]) %}{% for i in range(5000) %}" +
		"{% set ns.v = [ns.v] %}{% endfor %}"
	for source, want := range map[string]string{
		"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}": steps,
		"{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}" +
			"{{ f(100) }}": steps,
		"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}":           "200 deep",
		"{% for i in [[1]] recursive %}{{ loop([i]) }}{% endfor %}": "200 deep",
		"{% macro f() %}{% call f() %}{% endcall %}{{ caller() }}{% endmacro %}" +
			"{{ f() }}": "200 deep",
		"{{ 1" + strings.Repeat(" + 1", 60_000) + " }}":                              "too deep",
		"{{ d" + strings.Repeat(".a", 60_000) + " }}":                                "too deep",
		"{{ " + strings.Repeat("(", 200) + "1" + strings.Repeat(")", 200) + " }}":    "nest deeper",
		"{{ " + strings.Repeat("not ", 5000) + "1 }}":                                "nest deeper",
		"{{ " + strings.Repeat("-", 5000) + "1 }}":                                   "nest deeper",
		"{{ " + strings.Repeat("1 if 1 else ", 5000) + "1 }}":                        "nest deeper",
		strings.Repeat("{% if 1 %}", 5000):                                           "nest deeper",
		"{% set " + strings.Repeat("(", 90) + strings.Repeat("(", 90) + "x":          "nest deeper",
		"{{ 'x' * 10 ** 12 }}":                                                       text,
		"{{ [0] * 10 ** 12 }}":                                                       list,
		"{{ [] * 10 ** 12 }}":                                                        "",
		"{{ 10 ** 10 ** 10 }}":                                                       "64 bits",
		"{{ 1 ** 9000000000000000000 }}":                                             "",
		"{{ 'x'.center(10 ** 12) }}":                                                 text,
		"{{ 'x'.ljust(10 ** 12) }}":                                                  text,
		"{{ '\\t'.expandtabs(10 ** 12) }}":                                           text,
		"{{ '%999999999999d' % 1 }}":                                                 text,
		"{{ '%*d' % (10 ** 12, 1) }}":                                                text,
		"{{ 'x' | indent(10 ** 12) }}":                                               text,
		"{{ [1] | tojson(indent=10 ** 12) }}":                                        "indent",
		"{{ [1] | batch(10 ** 12, 0) | list }}":                                      list,
		"{{ [1] | slice(10 ** 12) | list }}":                                         list,
		"{{ range(10 ** 12) }}":                                                      "more than 100000",
		"{{ range(-9223372036854775807, 9223372036854775807) }}":                     "too large",
		"{{ 'a'[::9223372036854775807] }}{{ [1][9223372036854775807:] }}":            "",
		"{{ ('<' * 60000000) | e }}":                                                 text,
		big + "{{ s.replace('', 'yy') }}":                                            text,
		big + "{{ [s] * 1000 }}":                                                     text,
		big + "{{ ([s] * 1000) | tojson }}":                                          text,
		big + "{{ s.join(['a'] * 1000) }}":                                           text,
		big + "{{ '%s%s' % (s, s) }}{{ '{0}{0}'.format(s) }}":                        text,
		big + "{{ '{0}{0}'.format(s) }}":                                             text,
		big + "{% for c in s %}{% endfor %}":                                         made,
		big + "{{ s | list | length }}":                                              made,
		big + "{{ s.split('x') | length }}":                                          list,
		big + "{% for i in range(100000) %}{% if 'y' in s %}{% endif %}{% endfor %}": steps,
		big + "{% for i in range(100000) %}{{ s[30000000] }}{% endfor %}":            steps,
		doubled + "{{ ns.v == 1 }}{{ ns.v }}":                                        text,
		doubled + "{% set a = ns.v %}" + doubled + "{{ a == ns.v }}":                 steps,
		deep + "{{ ns.v }}":                                                          "too deep",
		deep + "{{ ns.v | tojson }}":                                                 "too deep",
		deep + "{% set a = ns.v %}" + deep + "{{ a == ns.v }}":                       "too deep",
		deep + "{% set a = ns.v %}" + deep + "{{ a < ns.v }}":                        "too deep",
		"{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns }}":                    "too deep",
		"{% set ns = namespace(v=()) %}{% for i in range(99) %}{% set ns.v = (ns.v, ns.v) %}" +
			"{% endfor %}{{ {ns.v: 1} | length }}": made,
		"{{ 'ab'[:, 1] }}": "a slice among several subscripts",
	} {
		tpl, err := Parse(source)
		if err == nil {
			// Steps and bytes alone bound it, so a busy machine changes no result.
			limits := Limits{Steps: 100_000, Bytes: 1 << 28, Time: time.Hour}
			var out string
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			out, err = tpl.Render(Variables{}, time.Now, limits)
			runtime.ReadMemStats(&after)
			if made := after.TotalAlloc - before.TotalAlloc; made > 4*uint64(limits.Bytes) {
				t.Errorf("%.90s: allocated %d MB", source, made>>20)
			}
			if len(out) > maxText {
				t.Errorf("%.90s: %d bytes", source, len(out))
			}
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.90s: error %.200v, want %q", source, err, want)
		}
	}
}

func TestTimeLimit(t *testing.T) {
	tpl, err := Parse("{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}" +
		"{% endfor %}")
	if err != nil {
		t.Fatal(err)
	}
	// Without the limit this would take hours.
	_, err = tpl.Render(nil, time.Now, Limits{Steps: 1 << 60, Time: 20 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "runs longer than 20ms") {
		t.Errorf("error %v", err)
	}
}

func TestErrorLines(t *testing.T) {
	for source, line := range map[string]int{
		"a\nb{{ 1 / 0 }}":                                   2,
		"{% if 1 %}\n{{\n1 +\n'a' }}\n{% endif %}":          2,
		"{% for i in [0] %}\n\n{{ 1 / i }}{% endfor %}":     3,
		"{% macro f() %}\n{{ x.y }}{% endmacro %}{{ f() }}": 2,
		"\n\n{{ 1 + }}":                                     3,
		"\n{% if 1 %}\n":                                    2,
		"{# a\nb #}\n{% nothing %}":                         3,
		"{% raw %}\n{% endraw %}{{ 'a\nb' }}\n{{ $ }}":      4,
		"x\n{{ messages[0]\n":                               2,
		"\n{% set a, b = [1] %}":                            2,
	} {
		_, err := render(source, nil)
		var located *Error
		if !errors.As(err, &located) || located.Line != line {
			t.Errorf("%q: %v, want line %d", source, err, line)
		}
	}
}
