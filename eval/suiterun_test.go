package eval_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"haf/eval"
	"haf/pref"
)

// A lengthRewarder gives every response its length, but refuses the word "refuse".
type lengthRewarder struct{}

func (lengthRewarder) Rewards() []string { return []string{"score"} }
func (lengthRewarder) Close() error      { return nil }

func (lengthRewarder) Read(
	_ context.Context, groups []pref.Group, _ []string,
) (pref.Readings, error) {
	r := pref.Readings{Names: []string{"score"}, Rewards: map[string][][]float64{}}
	for i, g := range groups {
		if strings.Contains(g.Prompt[0].Content, "refuse") {
			continue
		}
		r.Groups, r.Index = append(r.Groups, g), append(r.Index, i)
		r.Rewards["score"] = append(r.Rewards["score"], lengthsOf(groups[i : i+1])[0])
	}
	return r, nil
}

// onHub writes the files of ids and returns where they are; an id without a file is an error.
func onHub(t *testing.T, files map[string]string) eval.Files {
	dir := t.TempDir()
	return func(named []string) (paths []string, err error) {
		for _, name := range named {
			content, ok := files[name]
			if !ok {
				return nil, fmt.Errorf("%s is not there", name)
			}
			path := filepath.Join(dir, strings.ReplaceAll(name, "/", "_")+".jsonl")
			if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
				return nil, err
			}
			paths = append(paths, path)
		}
		return paths, nil
	}
}

const hhhRow = `{"input": "%s", "targets": {"choices": ["right", "no"], "labels": [1, 0]}}` + "\n"

func TestLoadSuite(t *testing.T) {
	files := map[string]string{
		"datasets/allenai/reward-bench/filtered": `{"id":1,"subset":"hep-go","prompt":"a","chosen":"b","rejected":"c"}
{"id":2,"subset":"llmbar-natural","prompt":"a","chosen":"b","rejected":"c"}
`,
		"own": `{"subset":"shp","prompt":"a","chosen":"b","rejected":"c"}` + "\n",
	}
	for _, part := range []string{"harmless", "helpful", "honest", "other"} {
		files["datasets/HuggingFaceH4/hhh_alignment/"+part+
			"/test/0000.parquet@refs/convert/parquet"] = fmt.Sprintf(hhhRow, part)
	}
	hub := onHub(t, files)
	subsets := func(suite string, given []string, opt pref.Options) (of []string) {
		t.Helper()
		data, err := eval.LoadSuite(suite, given, hub, opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range data.Groups {
			of = append(of, g.Subset)
		}
		return of
	}
	for _, c := range []struct {
		suite string
		given []string
		opt   pref.Options
		want  []string
	}{
		{eval.SuiteRewardBench, nil, pref.Options{}, []string{"hep-go", "llmbar-natural"}},
		{eval.SuiteLLMBar, nil, pref.Options{}, []string{"llmbar-natural"}},
		{eval.SuiteRewardBench, []string{"own"}, pref.Options{}, []string{"shp"}},
		{eval.SuiteHHH, nil, pref.Options{}, []string{"harmless", "helpful", "honest", "other"}},
		{eval.SuiteHHH, nil, pref.Options{Limit: 2}, []string{"harmless", "helpful"}},
	} {
		if got := subsets(c.suite, c.given, c.opt); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.suite, got, c.want)
		}
	}
	data, err := eval.LoadSuite(eval.SuiteRewardBench, []string{"own", "own"}, hub, pref.Options{})
	if err != nil || len(data.Groups) != 2 || !strings.Contains(data.Read, "read 2 rows") {
		t.Errorf("%+v, %v", data, err)
	}
	for suite, want := range map[string]string{
		eval.SuiteRMB:        "suite rmb has no data: its authors have no data set on the hub",
		eval.SuiteJudgeBench: "suite judgebench: datasets/ScalerLab/JudgeBench/gpt is not there",
		"bench":              `suite "bench", want one of`,
	} {
		_, err := eval.LoadSuite(suite, nil, hub, pref.Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestSuiteFiles(t *testing.T) {
	got, err := eval.SuiteFiles([]string{"rmb=a=b.json", "hhh=x", "rmb=c.json"})
	want := map[string][]string{eval.SuiteRMB: {"a=b.json", "c.json"}, eval.SuiteHHH: {"x"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"x.jsonl", "bench=x", "rmb=", "=x"} {
		if _, err := eval.SuiteFiles([]string{bad}); err == nil ||
			!strings.Contains(err.Error(), "want NAME=FILE with one of rewardbench,") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestRunSuites(t *testing.T) {
	hub := onHub(t, map[string]string{
		"bench": `{"id":1,"subset":"hep-go","prompt":"a","chosen":"longer","rejected":"no"}
{"id":2,"subset":"hep-go","prompt":"refuse","chosen":"no","rejected":"longer"}
`,
		"strange": `{"subset":"strange","prompt":"a","chosen":"b","rejected":"c"}` + "\n",
		"rmb": `{"pair_uid": "1", "conversation_input": [{"role": "user", "content": "a"}], "chosen": {"answer": "yes, all of it"}, "reject": {"answer": "nothing of it"}, "category_path": "Pairwise_set/Helpfulness/Chat"}
`,
	})
	given := map[string][]string{eval.SuiteRewardBench: {"bench"}, eval.SuiteLLMBar: {"strange"},
		eval.SuiteRMB: {"rmb"}}
	load := func(suite string) (eval.SuiteData, error) {
		return eval.LoadSuite(suite, given[suite], hub, pref.Options{})
	}
	var said []string
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	table, err := eval.RunSuites(context.Background(), lengthRewarder{}, nil, load, say)
	if err != nil {
		t.Fatal(err)
	}
	if len(table.Suites) != 7 {
		t.Fatalf("%+v", table)
	}
	for _, row := range table.Suites {
		done := row.Suite == eval.SuiteRewardBench || row.Suite == eval.SuiteRMB
		if done != (row.Error == "") || done != (row.Evaluation != nil) {
			t.Errorf("%+v", row)
		}
	}
	want := "5 of 7 suites failed: rewardbench2, rmbench, judgebench, llmbar, hhh"
	if err := table.Err(); err == nil || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%v", err)
	}
	var b strings.Builder
	if err := table.Write(&b); err != nil {
		t.Fatal(err)
	}
	var got []string // without the alignment
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	for _, want := range []string{
		"rewardbench score 1 1.0000 [0.2065, 1.0000] 1.0000 0.0000 – – 0 1.0000",
		"rmb score 1 1.0000 [0.2065, 1.0000] 1.0000 0.0000 1.0000 [0.2065, 1.0000] 1 1.0000",
		"judgebench – – failed – – – – – – –",
		"judgebench: failed: suite judgebench: datasets/ScalerLab/JudgeBench/gpt is not there",
		"rmb: 0 of 1 comparisons tie; a tie counts as wrong",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if text := strings.Join(said, "\n"); !strings.Contains(text,
		"suite rewardbench: 1 of 2 prompts could not be read") ||
		!strings.Contains(text, "suite rewardbench: the data has nothing of alpacaeval-easy") {
		t.Errorf("%s", text)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = eval.RunSuites(ctx, lengthRewarder{}, nil, load, say)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if (eval.SuiteTable{}).Err() != nil {
		t.Error("no suite failed")
	}
}
