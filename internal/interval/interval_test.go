package interval

import (
	"math"
	"reflect"
	"testing"
	"time"
)

func TestInterval(t *testing.T) {
	for _, test := range []struct {
		text, words string
		in, out     []float64
	}{
		{"[0,1]", "from 0 to 1", []float64{0, 1}, []float64{-1e-9, 1 + 1e-9, math.NaN()}},
		{"[0,1)", "from 0 to below 1", []float64{0}, []float64{1}},
		{"(0,1]", "more than 0 and up to 1", []float64{1}, []float64{0}},
		{"(0,1)", "more than 0 and less than 1", []float64{0.5}, []float64{0, 1}},
		{"[1,inf)", "1 or more", []float64{1, 1e300}, []float64{0, math.Inf(1)}},
		{"(0,inf)", "more than 0", []float64{1e-9}, []float64{0, math.NaN(), math.Inf(1)}},
		{"[-5,1e6]", "from -5 to 1000000", []float64{-5}, []float64{-6, math.Inf(-1)}},
		{"(0,1e30]", "more than 0 and up to 1e+30", []float64{1e30}, []float64{1e31}},
	} {
		in, err := Parse(test.text)
		if err != nil || in.String() != test.words {
			t.Errorf("%s: %v, %v, want %s", test.text, in, err, test.words)
		}
		for _, x := range test.in {
			if !in.Contains(x) {
				t.Errorf("%s does not contain %g", test.text, x)
			}
		}
		for _, x := range test.out {
			if in.Contains(x) {
				t.Errorf("%s contains %g", test.text, x)
			}
		}
	}
	for _, text := range []string{"", "1", "[1,0]", "[a,b]", "[0,0]", "[nan,1]"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q is an interval", text)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, test := range []struct {
		tag   string
		value any
		want  string // "" is no error
	}{
		{"[0,1]", 0.5, ""},
		{"[1,inf)", 0, "0, want 1 or more"},
		{"(0,inf)", 2 * time.Second, ""},
		{"(0,1)", 2 * time.Second, "2s, want more than 0 and less than 1"},
		{"[0,1]", []float64{0, 2, 3}, "2, want from 0 to 1"},
		{"(0,inf)", map[string]float64{"a": math.Inf(1)}, "+Inf, want more than 0"},
		{"[0,1]", []float64{}, ""},
		{"0..1", 0.5, `the range "0..1" is no interval, such as [0,1] or (0,inf)`},
	} {
		got := ""
		if err := Check(test.tag, reflect.ValueOf(test.value)); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%v in %s: %q, want %q", test.value, test.tag, got, test.want)
		}
	}
}
