package paper

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"haf/recipe"
)

// A Cell is one training with its evaluation on every test set. Cells of different tables with the
// same recipe are one cell.
type Cell struct {
	ID     string   // name of its folder, with a hash over recipe, base model and data
	Sets   []string // training sets
	Set    []string // overrides of the grid's recipe
	Seed   uint64
	Recipe *recipe.Recipe
	Tables []string // tables that need it

	// sets on whose test parts the model is read; none: only validate it
	Tests     []string
	KeepModel bool // keep the model of the finished cell
}

// A want is a cell as a table requests it.
type want struct {
	sets   []string
	method Method
	extra  []string // overrides for a sweep's value
	label  string   // of the folder
}

// wants lists the cells of a table, without seeds: set by set, so that a grid that is cut short has
// complete comparisons.
func (p *Grid) wants(t TableSpec) []want {
	methods, sets := p.methodsOf(t), p.setsOf(t)
	var out []want
	if t.Kind == Mixed {
		var all []string
		for _, s := range sets {
			all = append(all, s.Name)
		}
		for _, m := range methods {
			out = append(out, want{all, m, nil, m.Name + "-mixed"})
		}
		return out
	}
	for _, s := range sets {
		for _, m := range methods {
			if t.Kind != Sweep {
				out = append(out, want{[]string{s.Name}, m, nil, m.Name + "-" + s.Name})
				continue
			}
			for _, v := range t.Values {
				extra := t.overrides(v)
				label := m.Name + "-" + s.Name
				for _, set := range extra {
					label += "-" + short(set)
				}
				out = append(out, want{[]string{s.Name}, m, extra, label})
			}
		}
	}
	return out
}

// overrides returns the settings for a sweep's value: its key and, if the value is a list, the rest
// of the list.
func (t TableSpec) overrides(value any) []string {
	list, ok := value.([]any)
	if !ok || len(list) == 0 {
		list = []any{value}
	}
	sets := []string{fmt.Sprintf("%s=%v", t.Key, list[0])}
	for _, more := range list[1:] {
		sets = append(sets, fmt.Sprint(more))
	}
	return sets
}

// valueName is a sweep's value in tables and plots: "0.2", or "cdpo, smoothing 0.1".
func (t TableSpec) valueName(value any) string {
	sets := t.overrides(value)
	_, name, _ := strings.Cut(sets[0], "=")
	for _, set := range sets[1:] {
		name += ", " + strings.Replace(short(set), "=", " ", 1)
	}
	return name
}

// short is an override without the group of its key.
func short(set string) string {
	key, _, _ := strings.Cut(set, "=")
	return set[strings.LastIndexByte(key, '.')+1:]
}

// tests returns the sets on which a table reads the trainings of a want.
func (p *Grid) tests(t TableSpec, w want) []string {
	if t.Kind != OOD {
		return w.sets
	}
	var all []string
	for _, s := range p.Sets {
		all = append(all, s.Name)
	}
	return all
}

// Cells lists the grid's cells, or those of the named tables, without duplicates, in the order in
// which tables need them. A cell is read on the test sets of all tables, named or not. data is the
// split of the sets; if it is nil, the cells have no files.
func (p *Grid) Cells(data *Data, only []string) ([]*Cell, error) {
	for _, name := range only {
		if !slices.ContainsFunc(p.Tables, func(t TableSpec) bool { return t.Name == name }) {
			return nil, fmt.Errorf("paper: there is no table %q: %s", name,
				strings.Join(p.tableNames(), ", "))
		}
	}
	var cells []*Cell
	byID := map[string]*Cell{}
	for _, t := range p.Tables {
		chosen := len(only) == 0 || slices.Contains(only, t.Name)
		for _, w := range p.wants(t) {
			for _, seed := range p.Seeds {
				c, err := p.cell(data, w, seed)
				if err != nil {
					return nil, fmt.Errorf("paper: table %s: %w", t.Name, err)
				}
				if first := byID[c.hash()]; first != nil {
					c = first
				}
				byID[c.hash()] = c
				for _, set := range p.tests(t, w) {
					if !slices.Contains(c.Tests, set) {
						c.Tests = append(c.Tests, set)
					}
				}
				if !chosen {
					continue
				}
				if len(c.Tables) == 0 {
					cells = append(cells, c)
				}
				if !slices.Contains(c.Tables, t.Name) {
					c.Tables = append(c.Tables, t.Name)
				}
			}
		}
	}
	return cells, nil
}

func (p *Grid) tableNames() []string {
	var names []string
	for _, t := range p.Tables {
		names = append(names, t.Name)
	}
	return names
}

func (p *Grid) cell(data *Data, w want, seed uint64) (*Cell, error) {
	c := &Cell{Sets: w.sets, Set: slices.Concat(w.method.Set, w.extra), Seed: seed}
	var train, valid []string
	for _, name := range w.sets {
		train = append(train, data.File(name, p.trainPart(name, seed)))
		valid = append(valid, data.File(name, "valid"))
	}
	var err error
	if c.Recipe, err = p.recipe(train, valid, seed, c.Set...); err != nil {
		return nil, err
	}
	settings := *c.Recipe
	settings.Data.Train, settings.Data.Valid = w.sets, nil
	if p.Base != nil {
		settings.Model.Path = "" // the hash below identifies the base
	}
	identity, err := changes(&settings)
	if err != nil {
		return nil, err
	}
	base := ""
	if p.Base != nil {
		if base, err = p.Base(c.Recipe); err != nil {
			return nil, err
		}
	}
	sum := sha256.Sum256(fmt.Appendf(identity, "\n%s\n%s", data.hash(w.sets), base))
	label := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/\ "'+*`, r) {
			return '_'
		}
		return r
	}, w.label)
	c.ID = fmt.Sprintf("%s-seed%d-%s", label, seed, hex.EncodeToString(sum[:4]))
	return c, nil
}

// NewCell makes a cell that no table needs: a training on all sets of the grid with these overrides
// of its recipe. The label begins the name of its folder.
func (p *Grid) NewCell(data *Data, label string, seed uint64, set ...string) (*Cell, error) {
	w := want{method: Method{Set: set}, label: label}
	for _, s := range p.Sets {
		w.sets = append(w.sets, s.Name)
	}
	c, err := p.cell(data, w, seed)
	if err == nil {
		c.Tests = w.sets
	}
	return c, err
}

// modelKey identifies a recipe's base model, wherever it is stored, and how it reads text.
func (p *Grid) modelKey(r *recipe.Recipe) (string, error) {
	model := r.Model
	if model.Path == p.newBase && p.newBase != "" {
		model.Path = p.oldBase
	}
	key, err := json.Marshal(model)
	if err != nil {
		return "", fmt.Errorf("paper: %w", err)
	}
	return string(key), nil
}

// changes returns the settings of a recipe that differ from the defaults, as JSON, so that keys and
// tables added to recipes later change no cell.
func changes(r *recipe.Recipe) ([]byte, error) {
	var values [2]map[string]map[string]any
	for i, of := range []*recipe.Recipe{r, recipe.Default()} {
		text, err := json.Marshal(of)
		if err == nil {
			err = json.Unmarshal(text, &values[i])
		}
		if err != nil {
			return nil, fmt.Errorf("paper: %w", err)
		}
	}
	for table, keys := range values[0] {
		for key, value := range keys {
			if reflect.DeepEqual(value, values[1][table][key]) {
				delete(keys, key)
			}
		}
		if len(keys) == 0 && !slices.Contains(firstTables, table) {
			delete(values[0], table)
		}
	}
	return json.Marshal(values[0])
}

// firstTables are the tables that stand in the identity of a cell even without changes, as in the
// results that exist. Tables that were added to recipes later stand there with changes alone.
var firstTables = []string{"model", "lora", "data", "objective", "train", "rlhf", "tracking"}

// hash identifies a cell, whatever its label.
func (c *Cell) hash() string { return hashOf(c.ID) }

func hashOf(id string) string { return id[strings.LastIndexByte(id, '-')+1:] }
