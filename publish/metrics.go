package publish

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"haf/eval"
	"haf/report"
)

// A front is the front matter of a card, with the hub's keys.
type front struct {
	Library  string   `yaml:"library_name"`
	Base     string   `yaml:"base_model,omitempty"`
	Datasets []string `yaml:"datasets,omitempty"`
	Pipeline string   `yaml:"pipeline_tag"`
	Tags     []string `yaml:"tags"`
	Index    []index  `yaml:"model-index,omitempty"`
}

type index struct {
	Name    string   `yaml:"name"`
	Results []result `yaml:"results"`
}

type result struct {
	Task    typed    `yaml:"task"`
	Dataset typed    `yaml:"dataset"`
	Metrics []metric `yaml:"metrics"`
}

type typed struct {
	Type string `yaml:"type"`
	Name string `yaml:"name"`
}

type metric struct {
	Type  string  `yaml:"type"`
	Name  string  `yaml:"name"`
	Value float64 `yaml:"value"`
	Args  args    `yaml:"args"`
}

type args struct {
	Interval    []float64 `yaml:"interval_95,flow"`
	Comparisons int       `yaml:"comparisons"`
}

func (f facts) frontMatter(name string) (string, error) {
	base, _, _ := f.base()
	out := front{Library: "transformers", Base: base, Datasets: f.datasets(),
		Pipeline: "text-classification", Tags: []string{"haf", "reward-model", "preferences"}}
	switch {
	case f.causal() || f.policy():
		out.Pipeline, out.Tags = "text-generation", []string{"haf"}
		if f.policy() {
			out.Tags = append(out.Tags, "rlhf")
		}
	case f.meta.Objective.RewardWeight > 0 && f.meta.Objective.PolicyWeight > 0:
		out.Tags = append(out.Tags, "hybrid-reward-model", "arxiv:2407.04185")
	}
	if f.adapter {
		out.Library = "peft"
		out.Tags = append(out.Tags, "lora")
	}
	if f.run != nil && f.run.Eval != nil && len(f.run.Eval.Rewards) > 0 {
		r := result{Task: typed{out.Pipeline, "preference ranking"}, Dataset: f.tested()}
		for _, name := range slices.Sorted(maps.Keys(f.run.Eval.Rewards)) {
			v := f.run.Eval.Rewards[name]
			r.Metrics = append(r.Metrics, metric{"accuracy", "accuracy of the " + name + " reward",
				v.Accuracy, args{[]float64{v.AccuracyLow, v.AccuracyHigh}, v.Comparisons}})
		}
		out.Index = []index{{name, []result{r}}}
	}
	text, err := yaml.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("publish: front matter: %w", err)
	}
	return string(text), nil
}

// datasets returns the ids of the data on the hub, without duplicates.
func (f facts) datasets() (ids []string) {
	if f.run == nil {
		return nil
	}
	for _, s := range f.run.Manifest.Hub {
		id, ok := strings.CutPrefix(s.ID, "datasets/")
		if ok && strings.HasPrefix(s.Key, "data.") && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// tested is the data of the evaluation. Its type is its id on the hub, if it has one.
func (f facts) tested() typed {
	var names []string
	kind := "preferences"
	for _, path := range f.run.Eval.Data {
		name := publicPath(path)
		names = append(names, name)
		if parts := strings.Split(name, "/"); parts[0] == "datasets" && len(parts) > 2 {
			kind = parts[1] + "/" + parts[2]
		}
	}
	return typed{kind, strings.Join(names, ", ")}
}

// metricsSection is the table of the evaluation or, without one, of the validation that selected
// the weights.
func (f facts) metricsSection() string {
	if f.run == nil {
		return ""
	}
	rewards, of := map[string]eval.Result(nil), ""
	if f.run.Eval != nil {
		rewards, of = f.run.Eval.Rewards, "On "+plain(f.tested().Name)+", which the training "+
			"has not seen "+
			"if it was held out; 95 % intervals resample prompts."
	} else if best, _, ok := f.run.Best(); ok && len(best.Rewards) > 0 {
		rewards, of = best.Rewards, fmt.Sprintf("Of the validation at step %d, which chose "+
			"the weights: "+
			"these accuracies are too high on average.", best.Step)
	}
	if len(rewards) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Metrics\n\n%s\n\n| reward | comparisons | accuracy | 95 %% interval | "+
		"log-likelihood | ECE |\n|:---|---:|---:|---:|---:|---:|\n", of)
	for _, name := range slices.Sorted(maps.Keys(rewards)) {
		v := rewards[name]
		fmt.Fprintf(&b, "| %s | %d | %.4f | %s | %.4f | %.4f |\n", plain(name), v.Comparisons,
			v.Accuracy,
			report.Interval(v.AccuracyLow, v.AccuracyHigh), v.LogLikelihood, v.ECE)
	}
	return b.String()
}
