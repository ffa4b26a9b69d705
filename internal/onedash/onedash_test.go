package onedash_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"haf/internal/onedash"
)

// TestDouble tells flags from values, negative numbers and answers that are lists.
func TestDouble(t *testing.T) {
	parser, err := kong.New(&struct {
		JSON bool `name:"json"`

		Eval struct {
			Data  string
			Limit int
			Gate  float64
		} `cmd:""`
		Score struct {
			Prompt, Response string
			N                int `short:"n"`
		} `cmd:""`
	}{})
	if err != nil {
		t.Fatal(err)
	}
	takesValue := onedash.ValueFlags(parser.Model.Node)
	for _, test := range []struct{ args, want []string }{
		{[]string{"eval", "-data", "FILE"}, []string{"eval", "--data", "FILE"}},
		{[]string{"--data", "FILE", "-h"}, []string{"--data", "FILE", "-h"}},
		{[]string{"-data=FILE"}, []string{"--data=FILE"}},
		{
			[]string{"-prompt", "- one\n- two", "-response", "-yes"},
			[]string{"--prompt=- one\n- two", "--response=-yes"},
		},
		{[]string{"-prompt", "--yes"}, []string{"--prompt=--yes"}},
		{[]string{"-gate", "-1"}, []string{"--gate=-1"}},
		// a forgotten value stays an error
		{[]string{"-data", "-limit", "3"}, []string{"--data", "--limit", "3"}},
		{[]string{"-data", "--limit=3"}, []string{"--data", "--limit=3"}},
		{[]string{"-json", "-x"}, []string{"--json", "-x"}}, // takes no value
		{[]string{"-prompt"}, []string{"--prompt"}},
		{[]string{"score", "--", "-prompt", "-x"}, []string{"score", "--", "-prompt", "-x"}},
	} {
		if got := onedash.Double(test.args, takesValue); !slices.Equal(got, test.want) {
			t.Errorf("Double(%q) = %q, want %q", test.args, got, test.want)
		}
	}
}

// TestExplain writes flags with one dash, leaves other dashes, and says where the help is.
func TestExplain(t *testing.T) {
	for message, want := range map[string]string{
		"--columns: there is no column":                   "-columns: there is no column",
		"missing flags: --data=DATA, --out=OUT":           "missing flags: -data=DATA, -out=OUT",
		`--data: expected string value but got "--limit"`: `-data: expected string value but got "-limit"`,
		"a--b -- c --- d -n":                              "a--b -- c --- d -n",
	} {
		want += "; haf -help lists the verbs, haf VERB -help the flags"
		if got := onedash.Explain(errors.New(message), nil); got.Error() != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if err := onedash.Explain(nil, nil); err != nil {
		t.Error(err)
	}
}

// TestHabits wants what people type for help and the version to be understood, and the arguments of
// verbs to stay.
func TestHabits(t *testing.T) {
	for args, want := range map[string]string{
		"help": "-help", "help train": "train -help", "-json -version": "-json version",
		"--version": "version", "-help": "-help", "train help": "train help",
		"score m -prompt help": "score m -prompt help", "": "",
	} {
		if got := strings.Join(onedash.Habits(strings.Fields(args)), " "); got != want {
			t.Errorf("haf %s: haf %s, want haf %s", args, got, want)
		}
	}
}
