package chat

import (
	"testing"
	"time"

	"haf/internal/jinja"
)

// No template makes the package fail otherwise than by an error.
func FuzzTemplate(f *testing.F) {
	for _, source := range named {
		f.Add(source)
	}
	f.Add(`{%- macro f(a) -%}{{ f(a) }}{%- endmacro -%}{{ f((1 if a else 2), b=[3 if c else 4]) }}`)
	f.Add(`{% set ns = namespace(s='x') %}{% for a in range(99) %}{% set ns.s = ns.s ~ ns.s * 3 %}{% endfor %}{{ [ns.s] * 3 | join(',') }}{{ -7 // 2 % 3 }}`)
	f.Add(`{% call(x) f() %}{{ x[::-1] | tojson(indent=4) }}{% endcall %}{% filter upper %}a{% endfilter %}{% with a=1 %}{{ 'a'.join(['b']) | center(9) }}{% endwith %}`)
	f.Add(`{% for i in range(9) %}{% generation %}{{ messages[-1] | tojson(indent=2) }}{% endgeneration %}{% endfor %}{# x #}`)
	f.Fuzz(func(t *testing.T, source string) {
		tpl, err := New(source, "<s>", "</s>")
		if err != nil {
			return
		}
		tpl.limits = jinja.Limits{Steps: 20_000, Bytes: 1 << 26, Time: 2 * time.Second}
		//nolint:errcheck // an error is as good as a text
		tpl.Render([]Message{{Role: "user", Content: "é"}}, true)
	})
}
