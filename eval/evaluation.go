package eval

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"haf/pref"
)

// An Evaluation has the results of one model's rewards on one set. Its maps are by the reward's
// name.
type Evaluation struct {
	Model   string            `json:"model"`
	Data    []string          `json:"data"`
	Read    string            `json:"read"`
	Tokens  string            `json:"tokens"`
	Rewards map[string]Result `json:"rewards"`
	// Length measures the influence of length on every reward.
	Length  map[string]LengthControl `json:"length"`
	Details map[string]Details       `json:"details,omitempty"`
	Suite   map[string]SuiteResult   `json:"suite,omitempty"`
	// Labels are the results on singly labelled responses, if the data has some.
	Labels map[string]LabelResult `json:"labels,omitempty"`
	// Attributes are the results on rated responses, by reward and attribute.
	Attributes map[string]map[string]AttributeResult `json:"attributes,omitempty"`

	names []string // in the order of the readings
}

// Evaluate measures every reward of readings on their comparisons, labels and ratings.
func Evaluate(r pref.Readings) (Evaluation, error) {
	e := Evaluation{Tokens: r.Report, Rewards: map[string]Result{},
		Length: map[string]LengthControl{}, names: r.Names}
	if err := e.rate(r); err != nil {
		return e, err
	}
	compared, err := e.label(r)
	if err != nil || !compared {
		return e, err
	}
	for _, name := range r.Names {
		var err error
		if e.Rewards[name], err = Comparisons(r.Groups, r.Rewards[name]); err != nil {
			return e, fmt.Errorf("%s: %w", name, err)
		}
		if e.Length[name], err = ControlLength(r.Groups, r.Rewards[name]); err != nil {
			return e, fmt.Errorf("%s: %w", name, err)
		}
	}
	return e, nil
}

// label measures the rewards on labels, where there are some. compared is false where there is
// nothing else to measure.
func (e *Evaluation) label(r pref.Readings) (compared bool, err error) {
	var labelled bool
	for _, g := range r.Groups {
		labelled = labelled || len(g.Labels) > 0
		compared = compared || len(g.Comparisons) > 0
	}
	if !labelled {
		return compared || e.Attributes == nil, nil
	}
	e.Labels = map[string]LabelResult{}
	for _, name := range r.Names {
		if e.Labels[name], err = Labels(r.Groups, r.Rewards[name]); err != nil {
			return compared, fmt.Errorf("%s: %w", name, err)
		}
	}
	return compared, nil
}

// Accuracy is the accuracy of the named reward on comparisons, or else on labels, or else on pairs
// of responses by their first attribute.
func (e Evaluation) Accuracy(name string) float64 {
	if result, ok := e.Rewards[name]; ok {
		return result.Accuracy
	}
	if result, ok := e.Labels[name]; ok {
		return result.Accuracy
	}
	for _, attribute := range slices.Sorted(maps.Keys(e.Attributes[name])) {
		return e.Attributes[name][attribute].Accuracy.Value
	}
	return 0
}

// Rows returns the results on comparisons as rows of a table, in the order of the readings.
func (e Evaluation) Rows() (rows []Row) {
	for _, name := range e.names {
		if result, ok := e.Rewards[name]; ok {
			rows = append(rows, Row{Name: name, Result: result})
		}
	}
	return rows
}

// Describe adds the details of every reward. It fits a temperature to the validation readings; if
// they are nil, there is no calibration. If the rewards head and policy were both read, the details
// of head have their conflict.
func (e *Evaluation) Describe(
	r pref.Readings, validation *pref.Readings, head, policy string,
) error {
	e.Details = map[string]Details{}
	for _, name := range r.Names {
		var margins []float64
		if validation != nil {
			margins = Margins(validation.Groups, validation.Rewards[name])
		}
		d, err := Describe(r.Groups, r.Rewards[name], margins)
		if err != nil {
			return err
		}
		if rewards, ok := r.Rewards[policy]; ok && name == head {
			conflict, err := Conflicts(r.Groups, r.Rewards[name], rewards)
			if err != nil {
				return err
			}
			d.Conflict = &conflict
		}
		e.Details[name] = d
	}
	return nil
}

// WholeGroups returns the groups of readings with all their original comparisons. In a suite, a
// comparison between equal tokens is a tie of the model, not of the data.
func WholeGroups(groups []pref.Group, r pref.Readings) []pref.Group {
	whole := make([]pref.Group, len(r.Index))
	for i, index := range r.Index {
		whole[i] = groups[index]
	}
	return whole
}

// ScoreSuite adds the suite's scores of every reward; groups are those that were read. It calls say
// for prompts that could not be read and for subsets without data.
func (e *Evaluation) ScoreSuite(
	suite string, groups []pref.Group, r pref.Readings, say func(format string, args ...any),
) error {
	if n := len(groups) - len(r.Index); n > 0 {
		say("suite %s: %d of %d prompts could not be read and have no part in the score", suite,
			n, len(groups))
	}
	e.Suite = map[string]SuiteResult{}
	whole := WholeGroups(groups, r)
	for _, name := range r.Names {
		s, err := RunSuite(suite, whole, r.Rewards[name])
		if err != nil {
			return err
		}
		e.Suite[name] = s
	}
	if missing := e.Suite[r.Names[0]].Missing; len(missing) > 0 {
		say("suite %s: the data has nothing of %s", suite, strings.Join(missing, ", "))
	}
	return nil
}

// Write writes the tables: the rewards, the influence of length, and for each reward its suite and
// details.
func (e Evaluation) Write(w io.Writer) error {
	if rows := e.Rows(); len(rows) > 0 || len(e.Labels)+len(e.Attributes) == 0 {
		if err := Table(w, rows); err != nil {
			return err
		}
		if err := writeLine(w, ""); err != nil {
			return err
		}
		if err := WriteTable(w, lengthTable(e.names, e.Length)); err != nil {
			return err
		}
	}
	if len(e.Labels) > 0 {
		if len(e.Rewards) > 0 {
			if err := writeLine(w, ""); err != nil {
				return err
			}
		}
		if err := WriteTable(w, labelTable(e.names, e.Labels)); err != nil {
			return err
		}
	}
	if len(e.Attributes) > 0 {
		if len(e.Rewards)+len(e.Labels) > 0 {
			if err := writeLine(w, ""); err != nil {
				return err
			}
		}
		if err := WriteTable(w, attributeTable(e.names, e.Attributes)); err != nil {
			return err
		}
	}
	for _, name := range e.names {
		if s, ok := e.Suite[name]; ok {
			if err := writeLine(w, "\n"+name); err != nil {
				return err
			}
			if err := WriteTable(w, s.Lines()); err != nil {
				return err
			}
			if err := writeLine(w, s.TieLine()); err != nil {
				return err
			}
		}
		d, ok := e.Details[name]
		if !ok {
			continue
		}
		if err := writeLine(w, "\n"+name); err != nil {
			return err
		}
		for _, line := range d.Lines() {
			if err := writeLine(w, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeLine(w io.Writer, line string) error {
	if _, err := fmt.Fprintln(w, line); err != nil {
		return fmt.Errorf("eval: %w", err)
	}
	return nil
}

// ReadingOf returns one reward of readings.
func ReadingOf(r pref.Readings, name string) Reading {
	return Reading{Groups: r.Groups, Index: r.Index, Rewards: r.Rewards[name]}
}

// ShortNames returns the files' names without folders if these differ, else the paths.
func ShortNames(paths []string) []string {
	short := make([]string, len(paths))
	for i, path := range paths {
		short[i] = filepath.Base(path)
		if slices.Contains(short[:i], short[i]) {
			return paths
		}
	}
	return short
}
