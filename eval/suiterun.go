package eval

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"haf/pref"
)

// A SuiteSource is a part of a suite's data on the hub.
type SuiteSource struct {
	Named  []string // datasets/org/name/file, or a split
	Subset string   // the subset of its groups, if rows do not name one
	Only   []string // take only groups of these subsets; none: all
}

// AllSuites is the name for all suites.
const AllSuites = "all"

// SuiteData is the data of a suite.
type SuiteData struct {
	Named  []string // files or ids
	Groups []pref.Group
	Read   string // counts of the rows
}

// Files returns the files that paths or ids of data name, and fetches what is missing.
type Files func(named []string) ([]string, error)

// LoadData reads preferences from files or ids, without sampling or splitting.
func LoadData(named []string, files Files, opt pref.Options) (SuiteData, error) {
	groups, counts, err := SuiteSource{Named: named}.load(files, opt)
	if err != nil {
		return SuiteData{}, err
	}
	return SuiteData{Named: named, Groups: groups, Read: counts.String()}, nil
}

// LoadSuite reads the data of a suite from the given files or ids, else from the suite's own data
// set on the hub. Options.Limit bounds the total.
func LoadSuite(name string, given []string, files Files, opt pref.Options) (SuiteData, error) {
	s, err := suiteOf(name)
	if err != nil {
		return SuiteData{}, err
	}
	sources := s.data
	if len(given) > 0 {
		sources = []SuiteSource{{Named: given}}
	}
	if len(sources) == 0 {
		return SuiteData{}, fmt.Errorf("eval: suite %s has no data: %s", name, s.noData)
	}
	var data SuiteData
	var read []string
	for _, source := range sources {
		data.Named = append(data.Named, source.Named...)
		left := opt
		if opt.Limit > 0 {
			if left.Limit = opt.Limit - len(data.Groups); left.Limit == 0 {
				continue
			}
		}
		groups, counts, err := source.load(files, left)
		if err != nil {
			return data, fmt.Errorf("suite %s: %w", name, err)
		}
		data.Groups = append(data.Groups, groups...)
		read = append(read, counts.String())
	}
	data.Read = strings.Join(read, "; ")
	return data, nil
}

func (s SuiteSource) load(files Files, opt pref.Options) ([]pref.Group, *pref.Counts, error) {
	paths, err := files(s.Named)
	if err != nil {
		return nil, nil, err
	}
	if len(opt.Subsets) == 0 {
		opt.Subsets = s.Only
	}
	groups, counts, err := pref.Load(paths, opt)
	for g := range groups {
		if groups[g].Subset == "" {
			groups[g].Subset = s.Subset
		}
	}
	return groups, counts, err
}

// SuiteFiles groups the data for all suites, NAME=FILE each, by suite.
func SuiteFiles(given []string) (map[string][]string, error) {
	files := map[string][]string{}
	for _, text := range given {
		name, file, ok := strings.Cut(text, "=")
		if !ok || file == "" || !slices.Contains(Suites(), name) {
			return nil, fmt.Errorf("eval: data %q for all suites, want NAME=FILE with one of %s",
				text, strings.Join(Suites(), ", "))
		}
		files[name] = append(files[name], file)
	}
	return files, nil
}

// A SuiteRow is one suite of a [SuiteTable].
type SuiteRow struct {
	Suite string   `json:"suite"`
	Data  []string `json:"data"`
	// reason for a missing evaluation; "" if there is one
	Error      string      `json:"error,omitempty"`
	Evaluation *Evaluation `json:"evaluation,omitempty"`
}

// A SuiteTable holds every suite of one model.
type SuiteTable struct {
	Model  string     `json:"model"`
	Suites []SuiteRow `json:"suites"`
}

// RunSuites evaluates the named rewards of m on every suite. load reads the data of one suite, say
// receives messages for the user. A suite that fails has its error in its row, and the others
// continue; only a cancelled ctx ends all.
func RunSuites(
	ctx context.Context, m pref.Rewarder, rewards []string,
	load func(suite string) (SuiteData, error), say func(format string, args ...any),
) (SuiteTable, error) {
	var t SuiteTable
	for _, name := range Suites() {
		data, err := load(name)
		row := SuiteRow{Suite: name, Data: data.Named}
		if err == nil {
			say("suite %s: %s", name, data.Read)
			row.Evaluation, err = EvaluateSuite(ctx, m, name, data, rewards, say)
		}
		if ctx.Err() != nil {
			return t, fmt.Errorf("suite %s: %w", name, ctx.Err())
		}
		if err != nil {
			row.Error = err.Error()
			say("suite %s failed: %v", name, err)
		}
		t.Suites = append(t.Suites, row)
	}
	return t, nil
}

// EvaluateSuite evaluates the named rewards of m on one suite.
func EvaluateSuite(
	ctx context.Context, m pref.Rewarder, suite string, data SuiteData, rewards []string,
	say func(format string, args ...any),
) (*Evaluation, error) {
	r, err := m.Read(ctx, data.Groups, rewards)
	if err != nil {
		return nil, err
	}
	e, err := Evaluate(r)
	if err != nil {
		return nil, err
	}
	e.Data, e.Read = data.Named, data.Read
	if err := e.ScoreSuite(suite, data.Groups, r, say); err != nil {
		return nil, err
	}
	return &e, nil
}

// Err returns an error that names the suites that failed, nil if none did.
func (t SuiteTable) Err() error {
	var failed []string
	for _, row := range t.Suites {
		if row.Error != "" {
			failed = append(failed, row.Suite)
		}
	}
	if failed == nil {
		return nil
	}
	return fmt.Errorf("eval: %d of %d suites failed: %s", len(failed), len(t.Suites),
		strings.Join(failed, ", "))
}

// Write writes one table over all suites, a row for each reward; then how each suite counts ties,
// and the errors of those that failed.
func (t SuiteTable) Write(w io.Writer) error {
	cells := [][]string{{"suite", "reward", "n", "score", "95 % interval", "longest", "constant",
		"similar lengths", "95 % interval", "n", "correlation"}}
	var below []string
	for _, row := range t.Suites {
		if row.Evaluation == nil {
			line := slices.Repeat([]string{"–"}, len(cells[0]))
			line[0], line[3] = row.Suite, "failed"
			cells = append(cells, line)
			below = append(below, fmt.Sprintf("%s: failed: %s", row.Suite, row.Error))
			continue
		}
		for _, name := range row.Evaluation.names {
			s, c := row.Evaluation.Suite[name], row.Evaluation.Length[name]
			cells = append(cells, suiteCells(row.Suite, name, s.Overall, c))
			below = append(below, s.TieLine())
		}
	}
	if err := WriteTable(w, cells); err != nil {
		return err
	}
	if err := writeLine(w, ""); err != nil {
		return err
	}
	for _, line := range slices.Compact(below) {
		if err := writeLine(w, line); err != nil {
			return err
		}
	}
	return nil
}

func suiteCells(suite, reward string, s Score, c LengthControl) []string {
	number := func(x float64) string { return fmt.Sprintf("%.4f", x) }
	line := []string{suite, oneLine(reward), fmt.Sprint(s.N), number(s.Score),
		interval(s.Low, s.High), number(s.Longest), number(s.Constant)}
	if c.Matched.N == 0 {
		line = append(line, "–", "–", "0")
	} else {
		line = append(line, number(c.Matched.Value), interval(c.Matched.Low, c.Matched.High),
			fmt.Sprint(c.Matched.N))
	}
	return append(line, number(c.Correlation.Value))
}
