package main

import (
	"encoding"
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"haf/backend"
	"haf/compare"
	"haf/curate"
	"haf/doctor"
	"haf/eval"
	"haf/internal/bench"
	"haf/launch"
	"haf/objective"
	"haf/paper"
	"haf/pref"
	"haf/publish"
	"haf/recipes"
	"haf/report"
	"haf/reward"
	"haf/rewarder"
)

// jsonOutputs are what -json prints, by verb; nil of verbs that print none.
var jsonOutputs = map[string][]any{
	"bench": {bench.Results{}, bench.Result{}}, "combine": {reward.Fit{}},
	"data": {pref.DataSummary{}}, "demo": {launch.DemoResult{}}, "doctor": {doctor.Report{}},
	"eval":    {eval.Evaluation{}, eval.MatrixEvaluation{}, eval.SuiteTable{}},
	"explain": {reward.Explained{}}, "export": {map[string]string{}},
	"generate": {curate.Sample{}, curate.Generation{}}, "init": {launch.Estimate{}},
	"inspect": {reward.Inspection{}}, "judge": {curate.Judgement{}},
	"merge": {map[string]string{}}, "paper": {paper.Outcome{}}, "push": {publish.Sent{}},
	"rank": {curate.Ranking{}}, "recipes": {recipes.Recipe{}}, "relabel": {curate.Relabelled{}},
	"report": {report.FilesOf("", "")}, "rlhf": {launch.RLHFSummary{}},
	"score": {rewarder.ScoredSample{}, curate.Scoring{}}, "join": {curate.Joined{}},
	"compare": {compare.Answer{}},
	"setup":   {backend.Installation{}}, "track": {launch.Tracked{}},
	"train": {launch.Estimate{}, launch.TrainingSummary{}}, "version": {launch.Build{}},
	"serve": nil, "ui": nil, "completion": nil, "__complete": nil,
}

// stored is part of haf.json, which models that are there already have in this form.
var stored = reflect.TypeFor[objective.Hybrid]()

// keyStyle is the one style of keys: lower case, words with _ between them.
var keyStyle = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// TestJSONKeys wants every key that -json prints to have one style. Keys of maps are names of
// users' own, such as those of files.
func TestJSONKeys(t *testing.T) {
	parser, err := kong.New(&cli{})
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range parser.Model.Children {
		outputs, known := jsonOutputs[verb.Name]
		if !known {
			t.Errorf("what haf -json %s prints is not in jsonOutputs", verb.Name)
		}
		for _, output := range outputs {
			seen := map[reflect.Type]bool{}
			checkKeys(t, verb.Name, reflect.TypeOf(output), seen)
		}
	}
}

func checkKeys(t *testing.T, path string, of reflect.Type, seen map[reflect.Type]bool) {
	t.Helper()
	for _, own := range []reflect.Type{reflect.TypeFor[json.Marshaler](),
		reflect.TypeFor[encoding.TextMarshaler]()} {
		if of.Implements(own) {
			return
		}
	}
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		checkKeys(t, path, of.Elem(), seen)
		return
	case reflect.Struct:
	default:
		return
	}
	if seen[of] || of == stored {
		return
	}
	seen[of] = true
	for i := range of.NumField() {
		f := of.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case key == "-", !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && key == "":
		case key == "":
			t.Errorf("haf %s: %s.%s has no key", path, of, f.Name)
		case !keyStyle.MatchString(key):
			t.Errorf("haf %s: %s.%s has the key %q, want lower case with _", path, of, f.Name, key)
		}
		checkKeys(t, path+"."+f.Name, f.Type, seen)
	}
}
