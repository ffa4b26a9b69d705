package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v4"

	"haf/internal/shared"
)

// guideBlock is a block of commands with the comment before it, if there is one.
var guideBlock = regexp.MustCompile("(?s)(?:<!-- ([^\n]*?) -->\n\n)?```sh\n(.*?)```\n")

// mayBeLeft are the reasons for which a block is not run.
var mayBeLeft = regexp.MustCompile(`GPU|network|hub`)

// guideID stands for the demo's base model in the blocks that are run.
const guideID = "HuggingFaceTB/SmolLM2-135M-Instruct"

// guideShort puts the demo's model in the place of the hub's, and has the comparison of objectives
// train less than its hour.
var guideShort = strings.NewReplacer(guideID, "base", "-time 1h", "-time 1h -alpha 0.2 -lr 3e-3 "+
	"-set data.limit=70 -set train.epochs=1")

// TestGuides runs the commands of the guides. Each block of them says before it "run", or
// "not run:" and why: docs/dev/style.md. The blocks of a page run in order in one folder with the
// demo's small data: base/, train.jsonl, valid.jsonl, test.jsonl, pairs.jsonl, ranked.jsonl,
// prompts.jsonl, the samples a.jsonl, b.jsonl and c.jsonl, tiny.toml, and the runs runs/x, runs/y
// and runs/hh.
func TestGuides(t *testing.T) {
	long(t)
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
		case skipped && mayBeLeft.MatchString(reason):
		case m[1] == "run":
			fmt.Fprintf(&script, "exec sh -e block%d.sh\n", i)
			block := guideServers(guideShort.Replace(m[2]))
			fmt.Fprintf(&files, "-- block%d.sh --\n%s", i, block)
		default:
			t.Errorf("%s: block %d has %q before it, want <!-- run -->, or <!-- not run: WHY --> "+
				"for want of a GPU, the network or the hub:\n%s",
				page, i+1, m[1], m[2])
		}
	}
	if script.Len() == 0 {
		return ""
	}
	return "demo\nexec sh -e setup.sh\n" + script.String() + "-- setup.sh --\n" + guideSetup +
		files.String()
}

// guideServer is a line that starts a server, which runs until the end of its block.
var guideServer = regexp.MustCompile(`(?m)^(haf (?:serve|ui) [^\n]*)$`)

// guideServers has the servers of a block listen on free ports and end with it. The other lines ask
// the first of them.
func guideServers(block string) string {
	if !guideServer.MatchString(block) {
		return block
	}
	block = regexp.MustCompile(` -addr (\S+):\d+`).ReplaceAllString(block, " -addr $1:0")
	block = guideServer.ReplaceAllStringFunc(block, func(line string) string {
		if !strings.Contains(line, " -addr ") {
			line += " -addr 127.0.0.1:0"
		}
		return line + ` > address 2> served &
pids="$pids $!"
for i in $(seq 300); do test -s address && break; sleep 0.1; done
test -s address || { cat served; exit 1; }
first=${first:-$(head -n 1 address)}
rm address`
	})
	const ready = `for i in $(seq 100); do
	haf score "$first" -prompt a -response b > score 2>&1 && break
	sleep 0.3
done
`
	lines := strings.SplitAfter(block, "\n")
	for i, line := range lines {
		if strings.Contains(line, "http://127.0.0.1:8080") {
			lines[i] = ready + strings.ReplaceAll(line, "http://127.0.0.1:8080", `"$first"`)
		}
	}
	return strings.Join(lines, "") + "kill $pids\n"
}

const guideSetup = `head -n 60 test.jsonl > few.jsonl
mv few.jsonl test.jsonl
head -n 60 train.jsonl > pairs.jsonl
cp pairs.jsonl ranked.jsonl
tail -n 40 train.jsonl > valid.jsonl
sed 's/, *"chosen".*/}/' test.jsonl | head -n 3 > prompts.jsonl
haf train tiny.toml -out runs/x -set lora.rank=2
haf train tiny.toml -out runs/y -set objective.policy_weight=0
haf train tiny.toml -out runs/hh -set train.seed=5
for name in a b c; do
	haf generate runs/x -prompts prompts.jsonl -max-tokens 8 -seed $(printf %d "'$name") \
		-out $name.jsonl
done
`

// TestBatchExamples checks the syntax of the shell and YAML examples for batch systems, which no
// test runs: the shell parses them, and the job is one that Kubernetes indexes.
func TestBatchExamples(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(shared.Root(), "docs", "guide", "gpus-and-clusters.md"))
	if err != nil {
		t.Fatal(err)
	}
	scripts := 0
	for _, m := range guideBlock.FindAllStringSubmatch(string(text), -1) {
		if !strings.Contains(m[2], "-shard") {
			continue
		}
		scripts++
		shell := exec.Command("sh", "-n")
		shell.Stdin = strings.NewReader(m[2])
		if out, err := shell.CombinedOutput(); err != nil {
			t.Errorf("%v: %s\n%s", err, out, m[2])
		}
	}
	if scripts != 3 {
		t.Errorf("%d examples with -shard, want a loop, Slurm and GNU parallel", scripts)
	}
	_, job, _ := strings.Cut(string(text), "```yaml\n")
	job, _, _ = strings.Cut(job, "```")
	var of struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Spec       struct {
			CompletionMode           string `yaml:"completionMode"`
			Completions, Parallelism int
			Template                 struct {
				Spec struct {
					RestartPolicy string `yaml:"restartPolicy"`
					Containers    []struct{ Args []string }
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(job), &of); err != nil {
		t.Fatal(err)
	}
	pods := of.Spec.Template.Spec
	if of.APIVersion != "batch/v1" || of.Kind != "Job" || of.Spec.CompletionMode != "Indexed" ||
		of.Spec.Completions != 8 || pods.RestartPolicy != "OnFailure" || len(pods.Containers) != 1 {
		t.Fatalf("it is no indexed job: %+v", of)
	}
	// The shell of the job counts its index from 1.
	script := strings.Replace(pods.Containers[0].Args[0], "exec haf", "echo haf", 1)
	shell := exec.Command("sh", "-c", script)
	shell.Env = append(os.Environ(), "JOB_COMPLETION_INDEX=7")
	const want = "haf score /data/hh -in /data/answers.jsonl -shard 8/8 -out /data/part-8.jsonl\n"
	if out, err := shell.Output(); err != nil || string(out) != want {
		t.Errorf("the last index runs %q, %v, want %q", out, err, want)
	}
}
