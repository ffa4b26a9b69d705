// Package paper reruns the experiments of the HaF-RM paper as a grid of trainings: every cell is
// one training with its evaluation on all test sets, finished cells are kept, and a page of tables
// says what the results support.
package paper

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"haf/recipe"
	"haf/recipes"
	"haf/reward"
)

// A Grid is the TOML file that describes the experiments.
type Grid struct {
	Title string `toml:"title"` // title of the page of results
	// which base model's published numbers to show: "Phi-2", …; empty is all three
	Backbone string   `toml:"backbone"`
	Seeds    []uint64 `toml:"seeds"` // one training of every cell per seed
	// seed of the split into train, validation and test, the same for all trainings
	SplitSeed uint64 `toml:"split_seed"`
	// the hypotheses, stated before results are seen
	Hypotheses []string `toml:"hypotheses"`
	// assumptions for the differences that the grid can detect
	Power Power `toml:"power"`
	// keep the models of finished cells; otherwise only their results are kept
	KeepModels bool           `toml:"keep_models"`
	Claim      string         `toml:"claim"`  // the method to compare with the others
	Recipe     map[string]any `toml:"recipe"` // recipe of all trainings, as in a recipe file
	// sizes as in the base's config.json, for a bound on memory before the base is on disk
	BaseConfig map[string]any `toml:"base_config"`
	Cost       Cost           `toml:"cost"`
	// a synthetic world that all sets are about; its language model is the base model
	World   *recipe.World `toml:"world"`
	Sets    []Set         `toml:"sets"`
	Methods []Method      `toml:"methods"`
	Tables  []TableSpec   `toml:"tables"`

	// Base identifies a recipe's base model by the hash of its files; nil: by its path.
	Base func(*recipe.Recipe) (string, error) `toml:"-"`

	name string // of the file
	// the path of the base model that [Grid.Replace] set, and the grid's own
	newBase, oldBase string
}

// A Cost is the assumption for an estimate of time before cells are measured.
type Cost struct {
	PairsPerSecond float64 `toml:"pairs_per_second"` // in training, on the machine to be used
}

// Power has the assumptions, before the first training, about a difference between two methods.
type Power struct {
	// share of test comparisons on which only one of the two methods is right; 0: no power table
	Discordant float64 `toml:"discordant"`
	// standard deviation between seeds of the difference of accuracies
	SeedSD float64 `toml:"seed_sd"`
}

// A Set is a preference set, split into train, validation and test by conversation.
type Set struct {
	// name of the set in tables; unique
	Name string `toml:"name" json:"name"`
	// files for train and validation, and for test if test_files is empty
	Files []string `toml:"files" json:"files"`
	// the published test files, if there are any
	Test []string `toml:"test_files" json:"test_files"`
	// like data.format of a recipe; empty is "auto"
	Format string `toml:"format" json:"format"`
	// like data.label of a recipe: which label decides
	Label string `toml:"label" json:"label"`
	// like data.columns of a recipe: the names of columns
	Columns recipe.Columns `toml:"columns" json:"columns,omitzero"`
	// use only groups of these subsets; empty is all
	Subsets []string `toml:"subsets" json:"subsets"`
	// sets of one domain are out-of-distribution tests of each other
	Domain string `toml:"domain" json:"domain"`
	// the column of the paper's tables that the set stands for
	Paper string `toml:"paper" json:"paper"`
	// most groups to train on, taken after those for test and validation; 0 is the rest
	NTrain int `toml:"train" json:"train"`
	// most groups to validate on, at least 1, taken after those for test
	NValid int `toml:"valid" json:"valid"`
	// most groups to test on, at least 1, taken first
	NTest int `toml:"test" json:"test"`
	// leave out groups with more characters; 0 is no limit
	MaxChars int `toml:"max_chars" json:"max_chars"`
	// pairs of the grid's world instead of files
	World *recipe.Preferences `toml:"world" json:"world,omitempty"`
	// pairs of known truth in a world, for fitting a linear probe of the hidden states; 0: none
	Probe int `toml:"probe" json:"probe,omitempty"`
}

// A Method is an objective: its settings in the recipe, and the reward of the model that counts as
// its result.
type Method struct {
	Name string   `toml:"name"` // name of the method in tables; unique
	Set  []string `toml:"set"`  // settings of the recipe, such as "objective.policy_weight=0"
	// "score", "implicit", "implicit-normalized", "combined" or "probe"
	Reward string `toml:"reward"`
}

// A TableSpec is a table of the page with the trainings that it needs.
type TableSpec struct {
	Name string `toml:"name"` // name of the table's files, and for haf paper -only; unique
	// "in-distribution", "ood", "mixed", "sweep", "heads" or "ensemble"
	Kind  string `toml:"kind"`
	Title string `toml:"title"` // heading on the page
	// question that the table answers, as a sentence
	Question string `toml:"question"`
	// the method that all others are compared with; empty: the grid's claim is compared with all
	// others
	Baseline string `toml:"baseline"`
	// for kind "ensemble": numbers of seeds whose models make an ensemble
	Sizes   []int    `toml:"sizes"`
	Sets    []string `toml:"sets"`    // empty is all
	Methods []string `toml:"methods"` // empty is all
	Key     string   `toml:"key"`     // for a sweep: the key of the recipe
	// for a sweep: the values; a value with further settings is a list, ["cdpo",
	// "objective.smoothing=0.1"]
	Values []any `toml:"values"`
}

// Kinds of tables.
const (
	InDistribution = "in-distribution" // methods × sets, each tested on the set it was trained on
	OOD            = "ood"             // methods × sets, each tested on all sets
	Mixed          = "mixed"           // methods trained on all sets together
	// methods × values of a key, each tested on the set that it was trained on
	Sweep = "sweep"
	Heads = "heads" // the rewards of one training: score, implicit, both combined
	// the mean of several seeds' rewards against the reward of one
	Ensemble = "ensemble"
)

// Load reads a grid from a file, or the built-in grid of that name.
func Load(path string) (*Grid, error) {
	data, err := recipes.Read(path)
	if err != nil {
		return nil, fmt.Errorf("paper: %w: give the path of a grid, or a name that haf recipes lists; "+
			"paper-tiny is the shortest", err)
	}
	return Parse(path, data)
}

// Parse reads a grid's TOML. An unknown key is an error with its line.
func Parse(name string, data []byte) (*Grid, error) {
	p := &Grid{name: name, Claim: "HaF"}
	err := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields().Decode(p)
	var strict *toml.StrictMissingError
	var decode *toml.DecodeError
	switch {
	case errors.As(err, &strict) && len(strict.Errors) > 0:
		line, _ := strict.Errors[0].Position()
		return nil, fmt.Errorf("paper: %s:%d: unknown key %q", name, line,
			strings.Join(strict.Errors[0].Key(), "."))
	case errors.As(err, &decode):
		line, column := decode.Position()
		return nil, fmt.Errorf("paper: %s:%d:%d: %w", name, line, column, err)
	case err != nil:
		return nil, fmt.Errorf("paper: %s: %w", name, err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("paper: %s: %w", name, err)
	}
	return p, nil
}

// Replace replaces the grid's base model, unless model is "", and the paths of sets, by name. A set
// with a new path has no separate test files.
func (p *Grid) Replace(model string, sets map[string]string) error {
	for name, path := range sets {
		i := slices.IndexFunc(p.Sets, func(s Set) bool { return s.Name == name })
		if i < 0 {
			var names []string
			for _, s := range p.Sets {
				names = append(names, s.Name)
			}
			return fmt.Errorf("paper: %s has no set %q: there are %s", p.name, name,
				strings.Join(names, ", "))
		}
		p.Sets[i].Files, p.Sets[i].Test = []string{path}, nil
	}
	if model == "" {
		return nil
	}
	table, ok := p.Recipe["model"].(map[string]any)
	if !ok {
		return fmt.Errorf("paper: %s has no table [recipe.model], so -model has no place", p.name)
	}
	p.oldBase, _ = table["path"].(string)
	p.newBase = model
	table["path"] = model
	p.BaseConfig = nil // describes the old base
	return nil
}

// check validates everything except the recipes, which Cells validates.
func (p *Grid) check() error {
	switch {
	case len(p.Seeds) == 0:
		return errors.New("seeds is empty: give at least one, and several for intervals that hold " +
			"beyond one training")
	case len(p.Sets) == 0 || len(p.Methods) == 0 || len(p.Tables) == 0:
		return errors.New("a grid needs [[sets]], [[methods]] and [[tables]]")
	case p.Backbone != "" && !slices.Contains(backbones, p.Backbone):
		return fmt.Errorf("backbone %q is not one of the paper's: %s", p.Backbone,
			strings.Join(backbones, ", "))
	}
	seen := map[string]bool{}
	named := func(what, name string) error {
		if name == "" || strings.ContainsAny(name, `/\. `) || seen[what+name] {
			return fmt.Errorf("%s %q: want a name of its own without spaces, dots and slashes", what, name)
		}
		seen[what+name] = true
		return nil
	}
	for _, s := range p.Sets {
		if err := named("set", s.Name); err != nil {
			return err
		}
		if err := p.checkWorld(s); err != nil {
			return fmt.Errorf("set %s: %w", s.Name, err)
		}
		if len(s.Files) == 0 && s.World == nil || s.NTest < 1 || s.NValid < 1 || s.NTrain < 0 {
			return fmt.Errorf("set %s: want files, and at least 1 group of valid and of test: the "+
				"checkpoint is chosen on validation data, never on a test set", s.Name)
		}
	}
	for _, m := range p.Methods {
		if err := named("method", m.Name); err != nil {
			return err
		}
		if m.Reward == ByProbe {
			continue
		}
		if err := reward.CheckReward(m.Reward); err != nil {
			return fmt.Errorf("method %s: %w", m.Name, err)
		}
	}
	for _, t := range p.Tables {
		if err := named("table", t.Name); err != nil {
			return err
		}
		if kinds := []string{InDistribution, OOD, Mixed, Sweep, Heads, Ensemble}; !slices.Contains(kinds,
			t.Kind) {
			return fmt.Errorf("table %s: kind %q is not known: there are %s", t.Name, t.Kind,
				strings.Join(kinds, ", "))
		}
		if err := p.checkComparisons(t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
		if (t.Kind == Sweep) != (t.Key != "" && len(t.Values) > 0) {
			return fmt.Errorf("table %s: key and values belong to kind %s, and it needs both", t.Name, Sweep)
		}
		for _, v := range t.Values {
			if list, ok := v.([]any); ok && !isSettings(list) {
				return fmt.Errorf("table %s: the value %v is a list: want a value of %s, then settings as "+
					"in \"objective.smoothing=0.1\"", t.Name, v, t.Key)
			}
		}
		for _, name := range t.Sets {
			if p.set(name) == nil {
				return fmt.Errorf("table %s: there is no set %q", t.Name, name)
			}
		}
		for _, name := range t.Methods {
			if p.method(name) == nil {
				return fmt.Errorf("table %s: there is no method %q", t.Name, name)
			}
		}
	}
	return p.checkRewards()
}

// checkComparisons validates the comparisons of a table.
func (p *Grid) checkComparisons(t TableSpec) error {
	if t.Baseline != "" && !slices.ContainsFunc(p.methodsOf(t), func(m Method) bool {
		return m.Name == t.Baseline
	}) {
		return fmt.Errorf("baseline %q is not one of its methods", t.Baseline)
	}
	if (t.Kind == Ensemble) != (len(t.Sizes) > 0) {
		return fmt.Errorf("sizes belong to kind %s, which needs some", Ensemble)
	}
	for _, n := range t.Sizes {
		if n < 2 || n > len(p.Seeds) {
			return fmt.Errorf("sizes has %d, want 2 to the number of seeds, %d", n, len(p.Seeds))
		}
	}
	return nil
}

// isSettings reports whether a sweep's value is a list of a value and settings.
func isSettings(list []any) bool {
	if len(list) == 0 {
		return false
	}
	if _, nested := list[0].([]any); nested {
		return false
	}
	return !slices.ContainsFunc(list[1:], func(v any) bool {
		set, ok := v.(string)
		return !ok || strings.Index(set, "=") < 1
	})
}

// checkRewards makes every table's recipes and returns an error if a table shows a reward that they
// do not train.
func (p *Grid) checkRewards() error {
	for _, t := range p.Tables {
		for _, w := range p.wants(t) {
			r, err := p.recipe(nil, nil, 1, slices.Concat(w.method.Set, w.extra)...)
			if err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
			score, policy := r.Objective.RewardWeight > 0, r.Objective.PolicyWeight > 0
			needsScore, needsPolicy := w.method.Reward == reward.ByScore, w.method.Reward != reward.ByScore
			if w.method.Reward == ByProbe {
				needsScore, needsPolicy = false, false
			}
			if t.Kind == Heads || w.method.Reward == reward.ByCombined {
				needsScore, needsPolicy = true, true
			}
			if needsScore && !score || needsPolicy && !policy {
				return fmt.Errorf("table %s: %s %s trains with reward_weight %v and policy_weight %v, so that "+
					"a head which the table reads is not trained", t.Name, w.method.Name,
					strings.Join(w.extra, ""), r.Objective.RewardWeight, r.Objective.PolicyWeight)
			}
		}
	}
	return nil
}

func (p *Grid) set(name string) *Set {
	for i := range p.Sets {
		if p.Sets[i].Name == name {
			return &p.Sets[i]
		}
	}
	return nil
}

func (p *Grid) method(name string) *Method {
	for i := range p.Methods {
		if p.Methods[i].Name == name {
			return &p.Methods[i]
		}
	}
	return nil
}

// setsOf returns the sets of a table, in the grid's order.
func (p *Grid) setsOf(t TableSpec) []Set {
	var out []Set
	for _, s := range p.Sets {
		if len(t.Sets) == 0 || slices.Contains(t.Sets, s.Name) {
			out = append(out, s)
		}
	}
	return out
}

// methodsOf returns the methods of a table, in the grid's order.
func (p *Grid) methodsOf(t TableSpec) []Method {
	var out []Method
	for _, m := range p.Methods {
		if len(t.Methods) == 0 || slices.Contains(t.Methods, m.Name) {
			out = append(out, m)
		}
	}
	return out
}

// recipe returns the grid's recipe with overrides, for the named training and validation files.
func (p *Grid) recipe(train, valid []string, seed uint64, sets ...string) (*recipe.Recipe, error) {
	common, err := toml.Marshal(p.Recipe)
	if err != nil {
		return nil, err
	}
	if len(train) == 0 { // set later, once the data is split
		train = []string{"-"}
	}
	sets = append(slices.Clone(sets), "data.train="+list(train), "data.valid="+list(valid),
		fmt.Sprintf("train.seed=%d", seed))
	r, err := recipe.Parse(p.name+" [recipe]", common, sets)
	if err == nil && r.Model.Date == "" {
		r.Model.Date = reward.DefaultDate // a cell does not depend on the day it runs
	}
	return r, err
}

// list formats strings as a TOML list.
func list(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = fmt.Sprintf("%q", v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
