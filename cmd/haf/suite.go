package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"haf/eval"
	"haf/pref"
	"haf/reward"
)

// runSuite scores the suite from every reward of the reading. Groups keep all their comparisons: one between equal tokens is a
// tie of the model's, not of the data.
func (c *evalCmd) runSuite(out *evalOutput, model subject, groups []pref.Group, r *reading, p *progress) error {
	whole := make([]pref.Group, len(r.index))
	for i, index := range r.index {
		whole[i] = groups[index]
	}
	if n := len(groups) - len(whole); n > 0 {
		p.Logf("suite: %d of %d prompts could not be read and have no part in the score", n, len(groups))
	}
	out.Suite = map[string]eval.SuiteResult{}
	for _, name := range r.names {
		s, err := eval.RunSuite(c.Suite, whole, r.rewards[name])
		if err != nil {
			return err
		}
		if len(s.Missing) > 0 && name == r.names[0] {
			p.Logf("suite: the data has nothing of %s", strings.Join(s.Missing, ", "))
		}
		out.Suite[name] = s
	}
	if c.RewardBenchOut == "" {
		return nil
	}
	label := filepath.Base(filepath.Clean(c.Models[0]))
	if c.Ensemble != "" {
		label = c.Ensemble + "-of-" + label
	}
	f, err := eval.NewRewardBenchFile(out.Suite[r.names[0]], label, model.template(), whole, r.rewards[r.names[0]])
	if err != nil {
		return err
	}
	for folder, data := range map[string][]byte{"eval-set": f.Results, "eval-set-scores": f.Scores} {
		dir := filepath.Join(c.RewardBenchOut, folder)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := writeNew(filepath.Join(dir, label+".json"), func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// matrixOutput is what -json prints of a matrix.
type matrixOutput struct {
	Read   map[string]string `json:"read"`
	Matrix eval.Matrix       `json:"matrix"`
}

// runMatrix evaluates every model on every data file.
func (c *evalCmd) runMatrix(a *app) error {
	p := newProgress(a.stderr)
	out := matrixOutput{Read: map[string]string{}}
	var sets [][]pref.Group
	for _, path := range c.Data {
		paths, err := a.data([]string{path})
		if err != nil {
			return err
		}
		groups, counts, err := pref.Load(paths, c.options())
		if err != nil {
			return err
		}
		p.Logf("data: %s: %s", path, counts)
		out.Read[path] = counts.String()
		sets = append(sets, groups)
	}
	var rows []string
	var readings [][]eval.Reading
	for _, dir := range c.Models {
		names, of, err := c.readSets(a, dir, sets, p)
		if err != nil {
			return fmt.Errorf("%s: %w", dir, err)
		}
		for _, name := range names {
			row := make([]eval.Reading, len(sets))
			for j, r := range of {
				row[j] = r.of(name)
			}
			rows, readings = append(rows, dir+" "+name), append(readings, row)
		}
	}
	var err error
	if out.Matrix, err = eval.NewMatrix(rows, setNames(c.Data), readings); err != nil {
		return err
	}
	if a.json {
		return printJSON(a, out)
	}
	return out.Matrix.Write(a.stdout)
}

// readSets reads one model's rewards on every set.
func (c *evalCmd) readSets(a *app, dir string, sets [][]pref.Group, p *progress) (names []string, of []*reading, err error) {
	chat, err := c.chatFlags.options()
	if err != nil {
		return nil, nil, err
	}
	model, err := a.openSubject(dir, reward.Options{Chat: chat, MaxLength: c.MaxLength, Column: c.column()})
	if err != nil {
		return nil, nil, err
	}
	defer model.Close()
	for j, groups := range sets {
		p.Logf("model: %s on %s", dir, c.Data[j])
		r, err := model.read(a, groups, c.Rewards, p)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.Data[j], err)
		}
		names, of = r.names, append(of, r)
	}
	return names, of, nil
}

// setNames are the files' names without folders, where that leaves them apart.
func setNames(paths []string) []string {
	short := make([]string, len(paths))
	for i, path := range paths {
		short[i] = filepath.Base(path)
		if slices.Contains(short[:i], short[i]) {
			return paths
		}
	}
	return short
}
