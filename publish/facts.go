package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"haf/internal/wholefile"
	"haf/report"
	"haf/run"
)

// facts are the contents of a model's folder and its run that a card needs.
type facts struct {
	meta    meta
	class   string // of config.json, such as LlamaForSequenceClassification
	adapter bool   // a PEFT adapter
	run     *report.Run
	baseID  string // of the base on the hub, if the user named it
}

// meta is the part of haf.json that a card shows.
type meta struct {
	Base       string `json:"base"`
	Read       string `json:"read"`
	MaxLength  int    `json:"max_length"`
	Truncation string `json:"truncation"`
	Objective  struct {
		RewardWeight, PolicyWeight, Beta float64
		Reward, Policy                   string
	} `json:"objective"`
	Heads       []string `json:"heads"`
	ScoreOffset float64  `json:"score_offset"`
	Labels      []string `json:"labels"`
}

// ModelDir returns the folder of the model at a path; for a run folder, its model.
func ModelDir(path string) (dir string, r *report.Run, err error) {
	if !run.Exists(path) {
		return path, nil, nil
	}
	if !run.Finished(path) {
		return "", nil, fmt.Errorf("publish: %s has no model yet: finish it with haf train "+
			"-resume %s",
			path, path)
	}
	r, err = report.ReadRun(path)
	return filepath.Join(path, run.ModelName), r, err
}

func readFacts(dir string, r *report.Run) (facts, error) {
	f := facts{run: r}
	var config struct {
		Architectures []string `json:"architectures"`
	}
	for name, into := range map[string]any{"haf.json": &f.meta, "config.json": &config} {
		if err := readJSON(filepath.Join(dir, name), into); err != nil &&
			!errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	if len(config.Architectures) > 0 {
		f.class = config.Architectures[0]
	}
	_, err := os.Stat(filepath.Join(dir, adapterConfig))
	f.adapter = err == nil
	if !f.adapter && f.class == "" {
		return f, fmt.Errorf("publish: %s is no model folder: it has neither a config.json with "+
			"architectures nor an %s", dir, adapterConfig)
	}
	return f, nil
}

const adapterConfig = "adapter_config.json"

func readJSON(path string, into any) error {
	data, err := wholefile.Read(path, wholefile.Settings)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("publish: %s: %w", path, err)
	}
	return nil
}

// causal reports whether the folder is a language model without a score head.
func (f facts) causal() bool {
	return !f.adapter && !slices.Contains(f.meta.Heads, "score") &&
		!strings.HasSuffix(f.class, "ForSequenceClassification")
}

// scored reports whether the score head was trained.
func (f facts) scored() bool { return slices.Contains(f.meta.Heads, "score") }

// policy reports whether the run optimized a policy.
func (f facts) policy() bool { return f.run != nil && f.run.Manifest.Verb == run.VerbRLHF }

// cached matches the folder of a snapshot in the hub's cache.
var cached = regexp.MustCompile(
	`(models|datasets)--([^/\\]+?)--([^/\\]+)[/\\]snapshots[/\\]([0-9a-f]{40})(?:[/\\](.+))?$`)

// base returns the hub id of the base model and its commit, or without an id the name of its
// folder.
func (f facts) base() (id, commit, name string) {
	if f.baseID != "" {
		return f.baseID, "", f.baseID
	}
	if f.run != nil {
		for _, s := range f.run.Manifest.Hub {
			if s.Key == "model.path" {
				return s.ID, s.Commit, s.ID
			}
		}
	}
	if m := cached.FindStringSubmatch(f.meta.Base); m != nil && m[1] == "models" {
		id = m[2] + "/" + m[3]
		return id, m[4], id
	}
	return "", "", publicPath(f.meta.Base)
}

// publicPath names a file or model without the folders of this machine. It keeps an id of the hub
// as it is, and the last part of a path.
func publicPath(path string) string {
	if m := cached.FindStringSubmatch(path); m != nil {
		id := m[2] + "/" + m[3]
		if m[1] == "datasets" {
			id = "datasets/" + id
		}
		if m[5] != "" {
			id += "/" + filepath.ToSlash(m[5])
		}
		return id
	}
	switch {
	case strings.Contains(path, "://"):
		return "a server"
	case strings.HasPrefix(path, "datasets/") || strings.HasPrefix(path, "hf:"):
		return path
	case strings.HasPrefix(path, "exec:"):
		return "a command"
	}
	name := filepath.Base(filepath.Clean(path))
	if above := filepath.Base(filepath.Dir(path)); name == run.ModelName && above != "." {
		return above // a run's model has the run's name
	}
	return name
}

// absolute matches absolute paths inside a text.
var absolute = regexp.MustCompile(`(?:~|[A-Za-z]:)?(?:[/\\][^\s/\\:,;"'()]+){2,}`)

// scrub removes the folders of this machine, and addresses, from a value of a recipe.
func scrub(v any) any {
	switch v := v.(type) {
	case string:
		if filepath.IsAbs(v) || strings.Contains(v, "://") || strings.HasPrefix(v, "exec:") {
			return publicPath(v)
		}
		return v
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = scrub(v[i])
		}
		return out
	case map[string]any:
		out := map[string]any{}
		for key, value := range v {
			out[key] = scrub(value)
		}
		return out
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return v
}

func scrubText(s string) string { return absolute.ReplaceAllStringFunc(s, publicPath) }
