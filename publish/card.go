package publish

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/pelletier/go-toml/v2"

	"haf/internal/durable"
	"haf/internal/wholefile"
	"haf/report"
	"haf/run"
)

// CardName is the file of the card beside a model.
const CardName = "README.md"

// WriteCard writes or renews the card of the model in dir. r is its run, or nil. It leaves an
// edited card as it is and returns kept = true.
func WriteCard(dir string, r *report.Run) (kept bool, err error) {
	path := filepath.Join(dir, CardName)
	if own, err := isOwn(path); err != nil || !own {
		return err == nil, err
	}
	name := filepath.Base(filepath.Clean(dir))
	if r != nil {
		name = r.Name
	}
	text, err := Card(dir, r, name, "")
	if err != nil {
		return false, err
	}
	if err := durable.WriteFile(path, []byte(text)); err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	return false, nil
}

// CardOf returns a function that writes the card of a model made from the run in from, if that is a
// run. The card names the model's final folder dir.
func CardOf(from, dir string) func(written string) error {
	return func(written string) error {
		var r *report.Run
		if run.Exists(from) {
			var err error
			if r, err = report.ReadRun(from); err != nil {
				return err
			}
		}
		text, err := Card(written, r, filepath.Base(filepath.Clean(dir)), "")
		if err != nil {
			return err
		}
		return durable.WriteFile(filepath.Join(written, CardName), []byte(text))
	}
}

var cardMark = regexp.MustCompile(`<!-- haf wrote this card: ([0-9a-f]{16}) -->\n$`)

func mark(text string) string {
	sum := sha256.Sum256([]byte(text))
	return fmt.Sprintf("<!-- haf wrote this card: %x -->\n", sum[:8])
}

// isOwn reports whether the card is missing or unchanged since haf wrote it.
func isOwn(path string) (bool, error) {
	data, err := wholefile.Read(path, wholefile.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("publish: %w", err)
	}
	at := cardMark.FindIndex(data)
	return at != nil && string(data[at[0]:]) == mark(string(data[:at[0]])), nil
}

// Card returns the text of a model's card: front matter for the hub, data, recipe, metrics with
// intervals, limits, and code that reads the model. id is its name on the hub, or "".
func Card(dir string, r *report.Run, name, id string) (string, error) {
	f, err := readFacts(dir, r)
	if err != nil {
		return "", err
	}
	return f.card(name, id)
}

func (f facts) card(name, id string) (string, error) {
	front, err := f.frontMatter(name)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "---\n%s---\n\n# %s\n\n%s\n", front, plain(name), f.summary())
	fmt.Fprintf(&b, "\n## Use\n\n%s", f.use(id))
	b.WriteString(f.metricsSection())
	b.WriteString(f.dataSection())
	recipe, err := f.recipeSection()
	if err != nil {
		return "", err
	}
	b.WriteString(recipe)
	b.WriteString("\n## Limits\n\n")
	for _, limit := range f.limits() {
		fmt.Fprintf(&b, "- %s\n", limit)
	}
	b.WriteByte('\n')
	return b.String() + mark(b.String()), nil
}

// plain keeps a name on one line and from being read as Markdown.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	return strings.NewReplacer("<", "&lt;", ">", "&gt;", "`", "", "|", "\\|", "[", "\\[",
		"*", "\\*").Replace(s)
}

func (f facts) summary() string {
	_, commit, base := f.base()
	from := plain(base)
	if commit != "" {
		from += " (commit " + plain(commit[:min(12, len(commit))]) + ")"
	}
	o := f.meta.Objective
	switch {
	case f.policy():
		return "A policy that was optimized against rewards, from " + from + "."
	case f.causal():
		return "A causal language model from " + from + "."
	case len(f.meta.Heads) == 0:
		return "A reward model."
	}
	text := "A reward model from " + from + ". It has two heads on one decoder: a score " +
		"head, and the " +
		"language-model head with its implicit reward β(log π − log π_ref)."
	switch {
	case o.RewardWeight == 0:
		text += fmt.Sprintf(" It was trained by the policy loss alone (%s, β = %v).",
			plain(o.Policy), o.Beta)
	case o.PolicyWeight == 0:
		text += fmt.Sprintf(" It was trained by the reward loss alone (%s).", plain(o.Reward))
	default:
		text += fmt.Sprintf(" It was trained by %v · reward loss (%s) + %v · policy loss "+
			"(%s, β = %v).",
			o.RewardWeight, plain(o.Reward), o.PolicyWeight, plain(o.Policy), o.Beta)
	}
	return text + " The method is HaF-RM (arXiv 2407.04185)."
}

// dataSection lists the data of the run.
func (f facts) dataSection() string {
	if f.run == nil || len(f.run.Manifest.Data) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n## Data\n\n")
	for _, d := range f.run.Manifest.Data {
		sum := d.SHA256
		if len(sum) > 12 {
			sum = sum[:12]
		}
		fmt.Fprintf(&b, "- %s (hash %s…)\n", plain(publicPath(d.Path)), plain(sum))
	}
	for _, line := range f.run.Manifest.Report {
		fmt.Fprintf(&b, "- %s\n", plain(scrubText(line)))
	}
	return b.String()
}

// hidden are recipe keys that contain paths of this machine, or say nothing about the model.
var hidden = []string{"model.path", "data.train", "data.valid", "rlhf.rewards", "rlhf.critic"}

// recipeSection shows the settings of the recipe.
func (f facts) recipeSection() (string, error) {
	if f.run == nil {
		return "", nil
	}
	m := f.run.Manifest
	settings := map[string]map[string]any{}
	for key, origin := range m.Origin {
		table, field, _ := strings.Cut(key, ".")
		value := m.Recipe[table][field]
		if origin == "default" || slices.Contains(hidden, key) || table == "tracking" ||
			value == nil {
			continue
		}
		if settings[table] == nil {
			settings[table] = map[string]any{}
		}
		settings[table][field] = scrub(value)
	}
	head := fmt.Sprintf("\n## Recipe\n\n%d steps on %s.", len(f.run.Steps)+len(f.run.PolicySteps),
		plain(m.Device))
	if len(settings) == 0 {
		return head + "\n", nil
	}
	text, err := toml.Marshal(settings)
	if err != nil {
		return "", fmt.Errorf("publish: the recipe: %w", err)
	}
	const format = "%s Settings of the recipe; all others are haf's defaults:\n\n```toml\n%s```\n"
	return fmt.Sprintf(format, head,
		text), nil
}

func (f facts) limits() []string {
	out := []string{"The labels of the data are all that it has learned: other tasks, " +
		"languages and " +
		"adversarial responses were not measured unless a metric above names them."}
	if !f.causal() && !f.policy() {
		out = append(out, "Rewards compare responses to one prompt. Values of different "+
			"prompts, and of "+
			"different models, have no common scale.")
	}
	if f.run == nil || f.run.Eval == nil {
		out = append(out, "No held-out evaluation is stored with this model.")
	} else if c, ok := f.run.Eval.Length["score"]; ok && c.Longest.N > 0 {
		out = append(out, fmt.Sprintf("Always choosing the longer response is right on %.1f "+
			"%% of the "+
			"held-out pairs; on pairs of similar lengths the score is right on %.1f %% "+
			"[%.1f, %.1f].",
			100*c.Longest.Value, 100*c.Matched.Value, 100*c.Matched.Low, 100*c.Matched.High))
	}
	if f.meta.MaxLength > 0 {
		out = append(out, fmt.Sprintf("Training used at most %d tokens of a conversation "+
			"(truncation: %s).",
			f.meta.MaxLength, plain(f.meta.Truncation)))
	}
	if f.meta.Read == "end" && !f.causal() {
		out = append(out, "The reward is read at the end-of-text token, which transformers "+
			"does not do: "+
			"use haf for the same rewards.")
	}
	if len(f.meta.Heads) > 0 && !f.scored() && !f.causal() {
		out = append(out, "The score head was not trained: its values mean nothing. Use the "+
			"implicit "+
			"reward, which haf reads.")
	}
	return out
}
