package main

import (
	"slices"
	"strings"
	"testing"

	"haf/internal/shared"
)

// TestPages wants the pages of the repository to be true.
func TestPages(t *testing.T) {
	problems, err := check(shared.Root())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Error(p)
	}
}

// known is a small set of names for the tests of the checks.
func known() *names {
	own := map[string]bool{"set": true, "out": true}
	return &names{
		root:    shared.Root(),
		flags:   map[string]map[string]bool{"": own, "train": own},
		targets: map[string]bool{"test": true}, top: map[string]bool{"recipe": true, "docs": true},
		exported: map[string]map[string]bool{}, jsonKeys: map[string]bool{"loss": true},
		avoided: []string{"peer", "turned round"},
	}
}

// TestChecks gives each check a page that is right and one that is not.
func TestChecks(t *testing.T) {
	names := known()
	shell := func(command string) string { return "```sh\n" + command + "\n```\n" }
	for _, test := range []struct{ name, text, want string }{
		{"flag", "`-set`", ""},
		{"flag", "`-sets x`", "no verb has the flag -sets"},
		{"other program's flag", "`--reward.remote_url URL`", ""},
		{"verb", "`haf train -out DIR`", ""},
		{"verb", "`haf trian`", "haf has no verb trian"},
		{"flag of a verb", shell("bin/haf train x.toml -wrong 1"), "haf train has no flag -wrong"},
		{"continued", shell("haf train x.toml \\\n    -set train.lr=1 -set train.rl=2"),
			"a recipe has no key train.rl"},
		{"comment", shell("haf train x.toml # -wrong"), ""},
		{"second command", shell("make test && haf trian"), "haf has no verb trian"},
		{"key", "`train.lr` and `rlhf.rewards` and `train.jsonl`", ""},
		{"key", "`train.learning_rate`", "a recipe has no key train.learning_rate"},
		{"target", "`make test FUZZTIME=2s`", ""},
		{"target", "`make tests`", "the Makefile has no target tests"},
		{"file", "`recipe/recipe.go`, `recipe/*.go` and `runs/x`", ""},
		{"file", "`recipe/nowhere.go`", "the repository has no recipe/nowhere.go"},
		{"package", shell("go test ./recipe -run X"), ""},
		{"package", shell("go test ./recipe/x"), "the repository has no recipe/x"},
		{"identifier", "`recipe.Load` and `torch.Tensor`", ""},
		{"identifier", "`recipe.Nothing`", "package recipe has no Nothing"},
		{"word", "no peers, a `peer`, peerless", ""},
		{"word", "a peer is turned round", "avoid peer: see docs/dev/style.md"},
		{"span", "an `open span", "a code span is not closed on its line"},
		{"columns", "| " + strings.Repeat("x", 100), ""},
		{"columns", strings.Repeat("é", 100), ""},
		{"columns", strings.Repeat("x ", 51), "is longer than 100 columns"},
		{"columns", "```text\n" + strings.Repeat("x ", 51) + "\n```", ""},
		{"columns", shell(strings.Repeat("x ", 51)), "is longer than 100 columns"},
		{"link", "[a](../README.md#verbs)", ""},
		{"link", "[a](nowhere.md)", "link to nowhere.md: no such file"},
		{"link", "[a](../README.md#nowhere)", "link to ../README.md#nowhere: no such heading"},
	} {
		p := readPage("docs/x.md", test.text)
		pages, err := readPages(shared.Root())
		if err != nil {
			t.Fatal(err)
		}
		problems := slices.Concat(checkNames(p, names), checkWords(p, names.avoided), checkColumns(p),
			checkLinks(shared.Root(), p, pages))
		got := ""
		if len(problems) > 0 {
			got = problems[0].text
		}
		if got != test.want {
			t.Errorf("%s: %q gives %q, want %q", test.name, test.text, got, test.want)
		}
	}
}

// TestKeys wants the first column of the tables of the page of metrics to be JSON keys.
func TestKeys(t *testing.T) {
	p := readPage(metricsName, "| key | what |\n|---|---|\n| `loss` | `x` |\n| `lost` | |\n")
	problems := checkKeys(p, known())
	if len(problems) != 1 || problems[0].number != 4 {
		t.Errorf("%v", problems)
	}
}

// TestAnchor has the names that GitHub gives headings.
func TestAnchor(t *testing.T) {
	p := readPage("x.md", "# A, b: `c` d!\n## [Two](x.md) words\n## Same\n## Same\n"+
		"```\n# no heading\n```\n")
	got := sortedKeys(p.anchors())
	want := []string{"a-b-c-d", "same", "same-1", "two-words"}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestDiagram leaves out the edges that follow from others.
func TestDiagram(t *testing.T) {
	got := diagram(map[string][]string{"a": {"b", "c"}, "b": {"c"}, "c": nil})
	if strings.Contains(got, "a --> c") || !strings.Contains(got, "a --> b") {
		t.Error(got)
	}
}

// TestReached wants a page that nothing links to be a problem.
func TestReached(t *testing.T) {
	pages := []page{
		readPage("README.md", "[a](docs/a.md)"), readPage("docs/a.md", "[b](b.md#x)"),
		readPage("docs/b.md", ""), readPage("docs/lost.md", ""),
	}
	problems := checkReached(pages)
	if len(problems) != 1 || problems[0].file != "docs/lost.md" {
		t.Errorf("%v", problems)
	}
}
