package jinja

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// No template makes the package panic or run past its limits.
func FuzzRender(f *testing.F) {
	vars, cases := pythonCases(f)
	for _, c := range cases {
		f.Add(*c[0])
	}
	f.Fuzz(func(t *testing.T, source string) {
		tpl, err := Parse(source)
		if err != nil {
			return
		}
		// Steps and bytes alone bound it, so a busy machine changes no result.
		limits := Limits{Steps: 20_000, Bytes: 1 << 24, Time: time.Hour}
		now := func() time.Time { return time.Unix(0, 0).UTC() }
		first, err := tpl.Render(vars, now, limits)
		if len(first) > 1<<24 {
			t.Errorf("%q made %d bytes", source, len(first))
		}
		again, errAgain := tpl.Render(vars, now, limits)
		if first != again || (err == nil) != (errAgain == nil) {
			t.Errorf("%q: %q (%v), and again %q (%v)", source, first, err, again, errAgain)
		}
	})
}

// What tojson writes of a JSON text has the same value. The integer -0 is 0 to Python.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"a": [1, 2.5, null, "é\u0000\ud83d\ude00"]}`, `1e5`, `"\u2028"`} {
		f.Add(s)
	}
	tpl, err := Parse("{{ v | tojson }}\n{{ v | tojson(true, 1) }}")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, source string) {
		v, err := FromJSON([]byte(source))
		if err != nil || !utf8.ValidString(source) || strings.Contains(source, "-0") {
			return
		}
		out, err := tpl.Render(Variables{"v": v}, time.Now, Limits{})
		if err != nil {
			return
		}
		var want any
		if err := json.Unmarshal([]byte(source), &want); err != nil {
			t.Fatalf("FromJSON read %q: %v", source, err)
		}
		wanted, _ := json.Marshal(want)
		decoder := json.NewDecoder(strings.NewReader(out))
		for range 2 {
			var got any
			if err := decoder.Decode(&got); err != nil {
				t.Fatalf("%q: %v in %q", source, err, out)
			}
			if have, _ := json.Marshal(got); string(have) != string(wanted) {
				t.Errorf("%q became %s, want %s", source, have, wanted)
			}
		}
	})
}
