package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"haf/internal/shared"
)

// guideBlock is a block of commands with the comment before it, if there is one.
var guideBlock = regexp.MustCompile("(?s)(?:<!-- ([^\n]*?) -->\n\n)?```sh\n(.*?)```\n")

// guideID stands for the demo's base model in the blocks that are run.
const guideID = "HuggingFaceTB/SmolLM2-135M-Instruct"

// TestGuides runs the commands of the guides. Each block of them says before it "run", or
// "not run:" and why: docs/dev/style.md. The blocks of a page run in order in one folder with the
// demo's small data: base/, train.jsonl, test.jsonl, pairs.jsonl, tiny.toml, and the runs runs/x,
// runs/y and runs/hh.
func TestGuides(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(shared.Root(), "docs", "guide", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no guides: %v", err)
	}
	dir := t.TempDir()
	for _, page := range pages {
		data, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		script := guideScript(t, filepath.Base(page), string(data))
		if script == "" {
			continue
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md") + ".txtar"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	testscript.Run(t, scriptParams(dir))
}

// guideScript makes a script of the blocks of a page that are run; "" where there is none.
func guideScript(t *testing.T, page, text string) string {
	var script, files strings.Builder
	for i, m := range guideBlock.FindAllStringSubmatch(text, -1) {
		reason, skipped := strings.CutPrefix(m[1], "not run: ")
		switch {
		case skipped && reason != "":
		case m[1] == "run":
			fmt.Fprintf(&script, "exec sh -e block%d.sh\n", i)
			block := strings.ReplaceAll(m[2], guideID, "base")
			fmt.Fprintf(&files, "-- block%d.sh --\n%s", i, block)
		default:
			t.Errorf("%s: block %d has %q before it, want <!-- run --> or <!-- not run: WHY -->:\n%s",
				page, i+1, m[1], m[2])
		}
	}
	if script.Len() == 0 {
		return ""
	}
	return "demo\nexec sh -e setup.sh\n" + script.String() + "-- setup.sh --\n" + guideSetup +
		files.String()
}

const guideSetup = `head -n 60 test.jsonl > few.jsonl
mv few.jsonl test.jsonl
head -n 60 train.jsonl > pairs.jsonl
haf train tiny.toml -out runs/x
haf train tiny.toml -out runs/y -set objective.policy_weight=0
cp -r runs/x runs/hh
`
