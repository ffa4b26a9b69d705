package main

import (
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"haf/internal/interval"
)

// verbArgs are command lines on which each verb would begin its work, so that a bad flag is all
// that is wrong with them.
var verbArgs = map[string][]string{
	"demo":     {"demo"},
	"setup":    {"setup"},
	"train":    {"train", "tiny.toml", "-out", "out"},
	"eval":     {"eval", "base", "-data", "test.jsonl"},
	"score":    {"score", "base", "-prompt", "x", "-response", "y"},
	"explain":  {"explain", "base", "-prompt", "x", "-response", "y"},
	"serve":    {"serve", "base", "-addr", "127.0.0.1:0"},
	"data":     {"data", "test.jsonl"},
	"bench":    {"bench", "base", "-data", "test.jsonl"},
	"merge":    {"merge", "base", "-out", "out"},
	"report":   {"report", "run", "-out", "out"},
	"paper":    {"paper", "grid.toml", "-out", "out"},
	"compare":  {"compare", "pair.jsonl", "base", "-out", "out"},
	"combine":  {"combine", "base", "-valid", "test.jsonl"},
	"generate": {"generate", "base", "-prompts", "other.jsonl", "-out", "out"},
	"rank":     {"rank", "base", "-prompts", "other.jsonl", "-policy", "base", "-out", "out"},
	"judge":    {"judge", "samples.jsonl", "other.jsonl", "-gold", "base", "-out", "out"},
	"relabel":  {"relabel", "base", "-data", "pair.jsonl", "-out", "out"},
	"rlhf":     {"rlhf", "rl.toml", "-out", "out"},
	"export":   {"export", "-policy", "base", "-out", "out"},
	"doctor":   {"doctor", "base"},
	"recipes":  {"recipes", "nothing"},
	"version":  {"version"},
	"init":     {"init", "pair.jsonl", "base", "-out", "out"},
	"track":    {"track", "base"},
	"inspect":  {"inspect", "base"},
	"push":     {"push", "base", "org/name"},
	"join":     {"join", "part", "-out", "out"},
	"ui":       {"ui", "-addr", "127.0.0.1:0"},
}

// withFlag are command lines for flags that do not go with those of verbArgs.
var withFlag = map[string][]string{
	"train resume": {"train"},
	"rlhf resume":  {"rlhf"},
	"score in":     {"score", "base"},
	"explain in":   {"explain", "base"},
	"rank samples": {"rank", "base", "-out", "out"},
	// the data that haf bench reads is opened by a process of its own
	"bench data":   nil,
	"bench groups": nil,
	// a sample of each prompt is generated before it is ranked
	"rank column":       {"rank", "base", "-samples", "samples.jsonl", "-out", "out"},
	"relabel column":    {"score", "base", "-prompt", "x", "-response", "y"},
	"doctor against":    nil, // a finding, not an error, as of the next two
	"doctor attributes": nil,
	"doctor column":     nil,
	"ui model":          nil, // opened when a page asks for it
}

// TestHostileFlags gives every flag of every verb what it cannot be: another type, no value, and a
// number out of its range. Flags are found by reflection, so a new one is tested, too.
func TestHostileFlags(t *testing.T) {
	h := newHostile(t)
	var c cli
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range parser.Model.Children {
		if verb.Hidden || verb.Name == "completion" { // they read no data
			continue
		}
		if verbArgs[verb.Name] == nil {
			t.Errorf("no command line of haf %s", verb.Name)
			continue
		}
		for _, f := range slices.Concat(verb.Flags, parser.Model.Flags) {
			if interval.Wanted(f.Target.Type()) && f.Tag.Get("range") == "" {
				t.Errorf("-%s of haf %s has no tag range", f.Name, verb.Name)
			}
			args, ok := withFlag[verb.Name+" "+f.Name]
			if !ok {
				args = verbArgs[verb.Name]
			} else if args == nil {
				continue
			}
			code, want := exitUsage, regexp.QuoteMeta("-"+f.Name)
			if named[f.Name] {
				code, want = exitFailed, "nonsense"
			}
			for _, bad := range badValues(f) {
				args := append(slices.Clone(args), "-"+f.Name+bad)
				h.refuses(hostileCase{"flag", args, code, want})
			}
			misspelt := "-" + f.Name + "x"
			h.refuses(hostileCase{"misspelt", []string{verb.Name, misspelt}, exitUsage,
				"unknown flag " + misspelt})
		}
	}
}

// badValues are what a flag must refuse, as it is written behind its name.
func badValues(f *kong.Flag) []string {
	t := f.Target.Type()
	if f.Name == "help" {
		return nil
	}
	if f.IsBool() {
		return []string{"=maybe"}
	}
	var bad []string
	switch {
	case t == reflect.TypeFor[time.Duration]():
		bad = []string{"=soon", "=5", "=-1s", "=1e400h", "="}
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64 || t.Kind() == reflect.Uint64:
		bad = []string{"=many", "=1.5", "=-1", "=99999999999999999999", "="}
	case t.Kind() == reflect.Float64:
		bad = []string{"=much", "=NaN", "=-1", "=Inf", "=1e999", "="}
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Float64:
		bad = []string{"=nonsense", "=a=b=c", "=a=NaN", "=a=-1"}
	case t.Kind() == reflect.Map:
		bad = []string{"=nonsense"}
	case freeText[f.Name]:
		return nil
	default:
		bad = []string{"=nonsense"}
	}
	return bad
}

// named are the flags that name a file, a model or a part of one: whether it is there shows when it
// is opened.
var named = map[string]bool{
	"data": true, "valid": true, "in": true, "prompts": true, "samples": true, "against": true,
	"groups": true, "model": true, "policy": true, "gold": true, "column": true, "resume": true,
	"one": true, "only": true, "test": true, "attributes": true,
}

// freeText are the flags that take any text: names of what is made, and what is said to a model.
var freeText = map[string]bool{
	"out": true, "prompt": true, "response": true, "criterion": true, "subset": true,
	"stop": true, "remote-model": true, "report": true, "rewardbench-out": true, "results": true,
	"message": true, "revision": true, // of which only some forms are wrong: publish.TestRefused
}
