package publish_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"haf/publish"
)

const commit = "0123456789abcdef0123456789abcdef01234567"

// runFiles are a run folder of a hybrid model whose base and training data are on the hub.
func runFiles() map[string]string {
	return map[string]string{
		"manifest.json": `{"format": 3, "created": "2026-01-02T03:04:05Z", "device": "xla-cpu",
 "base": "/home/me/secret/base", "report": ["train data: /home/me/secret/mine.jsonl: 3 groups"],
 "recipe": {"objective": {"policy_weight": 0.2}, "train": {"lr": 0.001, "batch": 8},
  "model": {"path": "/home/me/secret/base", "template": "/home/me/secret/chat.jinja"},
  "data": {"train": ["/home/me/secret/mine.jsonl"]}, "tracking": {"mlflow": "http://secret:1"}},
 "origin": {"train.lr": "set", "train.batch": "file", "objective.policy_weight": "file",
  "model.path": "set", "model.template": "set", "data.train": "set", "tracking.mlflow": "set"},
 "data": [{"path": "/home/me/secret/mine.jsonl", "sha256": "00112233445566778899"}],
 "hub": [{"key": "model.path", "named": "org/base", "id": "org/base", "commit": "` + commit + `"},
  {"key": "data.train", "named": "datasets/org/prefs/x", "id": "datasets/org/prefs"}]}`,
		"metrics.jsonl": `{"kind":"step","step":1,"loss":0.8}` + "\n",
		"eval.json": `{"data":["/home/me/.cache/huggingface/hub/datasets--org--prefs/snapshots/` +
			commit + `/data/test.jsonl"],"rewards":{"score":{"comparisons":10,"accuracy":0.7,
 "accuracy_low":0.4,"accuracy_high":0.9}},"length":{"score":{"longest":{"n":10,"value":0.61},
 "matched":{"n":4,"value":0.52,"low":0.1,"high":0.8}}}}`,
		"model/config.json": `{"architectures":["LlamaForSequenceClassification"],
 "model_type":"llama"}`,
		"model/haf.json": `{"format":3,"base":"/home/me/secret/base","read":"last","max_length":64,
 "truncation":"prompt","heads":["score","policy"],
 "objective":{"RewardWeight":1,"PolicyWeight":0.2,"Reward":"bradley-terry","Policy":"dpo",
 "Beta":0.1}}`,
		"model/model.safetensors": strings.Repeat("w", 5000),
	}
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my<run>")
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func card(t *testing.T, files map[string]string) string {
	t.Helper()
	model, r, err := publish.ModelDir(folder(t, files))
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := publish.WriteCard(model, r); err != nil || kept {
		t.Fatal(kept, err)
	}
	text, err := os.ReadFile(filepath.Join(model, publish.CardName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestCard has the hub's ids, the metrics with their intervals and the recipe, and no path of this
// machine.
func TestCard(t *testing.T) {
	text := card(t, runFiles())
	for _, secret := range []string{"/home", "secret", "http:"} {
		if strings.Contains(text, secret) {
			t.Errorf("the card has %q:\n%s", secret, text)
		}
	}
	for _, want := range []string{"# my&lt;run&gt;", "from org/base (commit 0123456789ab)",
		"AutoModelForSequenceClassification.from_pretrained(MODEL", "lr = 0.001", "batch = 8",
		"| score | 10 | 0.7000 | [0.4000, 0.9000] |", "mine.jsonl (hash 001122334455…)",
		"template = 'chat.jinja'", "On datasets/org/prefs/data/test.jsonl",
		"on pairs of similar lengths the score is right on 52.0 % [10.0, 80.0]"} {
		if !strings.Contains(text, want) {
			t.Errorf("the card has no %q:\n%s", want, text)
		}
	}
	var front struct {
		Base     string   `yaml:"base_model"`
		Datasets []string `yaml:"datasets"`
		Pipeline string   `yaml:"pipeline_tag"`
		Index    []struct {
			Results []struct {
				Dataset struct{ Type string }
				Metrics []struct {
					Value float64
					Args  struct {
						Interval []float64 `yaml:"interval_95"`
					}
				}
			}
		} `yaml:"model-index"`
	}
	if err := yaml.Unmarshal([]byte(strings.Split(text, "---\n")[1]), &front); err != nil {
		t.Fatal(err)
	}
	result := front.Index[0].Results[0]
	if front.Base != "org/base" || front.Datasets[0] != "org/prefs" ||
		front.Pipeline != "text-classification" || result.Dataset.Type != "org/prefs" ||
		result.Metrics[0].Value != 0.7 || result.Metrics[0].Args.Interval[0] != 0.4 {
		t.Errorf("%+v", front)
	}
}

// TestCardOfOthers has the lines that fit an adapter, a policy, a model of DPO, and one without a
// run.
func TestCardOfOthers(t *testing.T) {
	with := func(name, old, new string) map[string]string {
		files := runFiles()
		if !strings.Contains(files[name], old) {
			t.Fatalf("%s has no %s", name, old)
		}
		files[name] = strings.Replace(files[name], old, new, 1)
		return files
	}
	adapter := runFiles()
	delete(adapter, "model/config.json")
	adapter["model/adapter_config.json"] = "{}"
	for _, test := range []struct {
		name, want, not string
		files           map[string]string
	}{
		{"adapter", "AutoPeftModelForSequenceClassification.from_pretrained(", "dtype=", adapter},
		{"policy", "haf export -policy", "from_pretrained",
			with("manifest.json", `"format": 3`, `"format": 3, "verb": "rlhf"`)},
		{"dpo", "The score head was not trained", "from_pretrained",
			with("model/haf.json", `"score","policy"`, `"policy"`)},
		{"offset", "logits[:, 0] + 0.5", "causal", with("model/haf.json", `"read"`,
			`"score_offset":0.5,"read"`)},
		{"foreign head", "haf reads its rewards", "from_pretrained",
			with("model/config.json", "SequenceClassification", "CausalLM")},
	} {
		text := card(t, test.files)
		if !strings.Contains(text, test.want) || strings.Contains(text, test.not) {
			t.Errorf("%s: want %q and not %q:\n%s", test.name, test.want, test.not, text)
		}
	}
}

// TestEditedCard renews a card that haf wrote and keeps one that a person edited.
func TestEditedCard(t *testing.T) {
	dir, r, err := publish.ModelDir(folder(t, runFiles()))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, publish.CardName)
	write := func() bool {
		kept, err := publish.WriteCard(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		return kept
	}
	if first, second := write(), write(); first || second {
		t.Error("haf's own card was kept")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	edited := strings.Replace(string(text), "## Limits", "## My limits", 1)
	if err := os.WriteFile(path, []byte(edited), 0o644); err != nil {
		t.Fatal(err)
	}
	if !write() {
		t.Error("an edited card was replaced")
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != edited {
		t.Errorf("%v: the card is\n%s", err, now)
	}
}

// TestCardInjection puts lines of YAML, Markdown, HTML and Python into every text of the files that
// a card is made of. None begins a line, ends the front matter or adds a key to it.
func TestCardInjection(t *testing.T) {
	const evil = `x\n---\nlicense: evil\n# evil\n\"\"\"\nimport evil\n<script>evil</script>` +
		"`" + `\r\u2028evil`
	plainText := regexp.MustCompile(`"[^"]*"`)
	keep := regexp.MustCompile(`^"(20\d\d-.*|[0-9a-f]{40}|model.path|data.train|score|policy|` +
		`LlamaFor.*|llama|step|rlhf)"$`)
	for _, verb := range []string{"train", "rlhf"} {
		files := runFiles()
		for name, text := range files {
			if !strings.HasSuffix(name, ".json") {
				continue
			}
			for _, m := range plainText.FindAllString(text, -1) {
				if keep.MatchString(m) || strings.Contains(text, m+":") || strings.Contains(text, m+" :") {
					continue
				}
				files[name] = strings.ReplaceAll(files[name], m, `"`+strings.Trim(m, `"`)+evil+`"`)
			}
		}
		files["model/haf.json"] = strings.Replace(files["model/haf.json"], `"read"`,
			`"labels":["a`+evil+`","b"],"read"`, 1)
		if verb == "rlhf" {
			files["manifest.json"] = strings.Replace(files["manifest.json"], `"format": 3`,
				`"format": 3, "verb": "rlhf"`, 1)
		}
		text := card(t, files)
		if !strings.Contains(text, "evil") {
			t.Fatalf("the card has nothing of what was put in:\n%s", text)
		}
		parts := strings.Split(text, "\n---\n")
		if len(parts) != 2 {
			t.Fatalf("the front matter ends %d times:\n%s", len(parts)-1, text)
		}
		var front map[string]any
		if err := yaml.Unmarshal([]byte(strings.TrimPrefix(parts[0], "---\n")), &front); err != nil {
			t.Fatal(err)
		}
		for key := range front {
			if !slices.Contains([]string{"library_name", "base_model", "datasets", "pipeline_tag", "tags",
				"model-index"}, key) {
				t.Errorf("the front matter has the key %q", key)
			}
		}
		for line := range strings.Lines(parts[1]) {
			for _, start := range []string{"license", "# evil", "import evil", "<script", "evil", "---"} {
				if strings.HasPrefix(line, start) {
					t.Errorf("a line of the card begins with %q: %s", start, line)
				}
			}
			if strings.Contains(line, "<script>") && !strings.Contains(line, " = ") {
				t.Errorf("HTML outside a block of code: %s", line)
			}
			if strings.ContainsAny(line, "\r\u2028") && !strings.Contains(line, " = ") {
				t.Errorf("a line that ends in its middle: %q", line)
			}
		}
	}
}

// TestPythonCard has the hub's own client read and validate the card.
func TestPythonCard(t *testing.T) {
	python := os.Getenv("HAF_PYTHON")
	if python == "" || exec.Command(python, "-c", "import huggingface_hub, yaml").Run() != nil {
		t.Skip("name a Python with huggingface_hub in HAF_PYTHON")
	}
	path := filepath.Join(t.TempDir(), "README.md")
	if err := os.WriteFile(path, []byte(card(t, runFiles())), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `
import sys
from huggingface_hub import ModelCard
card = ModelCard.load(sys.argv[1])
e = card.data.eval_results[0]
print(card.data.base_model, card.data.library_name, card.data.datasets, e.dataset_type,
      e.metric_type, e.metric_value, e.metric_args["interval_95"])`, path).CombinedOutput()
	want := "org/base transformers ['org/prefs'] org/prefs accuracy 0.7 [0.4, 0.9]"
	if got := strings.TrimSpace(string(out)); err != nil || got != want {
		t.Errorf("%v: %s\nwant %s", err, got, want)
	}
}
