package paper

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/durable"
	"haf/internal/filelock"
	"haf/internal/wholefile"
	"haf/pref"
	"haf/recipe"
)

// Data is the split of a grid's sets, on disk: for each set SET.train.jsonl, SET.valid.jsonl and
// SET.test.jsonl.
//
// All groups whose conversations begin with the same user message are on one side, over all sets
// together: a conversation in a test set is in no training or validation data of any set. Train is
// in random order, so that its first N groups are a sample.
type Data struct {
	Hash  string       `json:"hash"` // over the settings and the bytes of the files
	Parts []PartCounts `json:"parts"`

	dir string
}

// PartCounts counts the groups in the parts of a set.
type PartCounts struct {
	Set   string `json:"set"`
	Read  string `json:"read"` // the reader's summary
	Train int    `json:"train"`
	Valid int    `json:"valid"`
	Test  int    `json:"test"`
	// left out, because a conversation in a test set begins alike
	Overlap int `json:"overlap"`
	// over the bytes of the parts
	Hash string `json:"hash"`
}

const dataName = "data.json"

// OpenData finds the split of the grid's sets under dir. If it does not exist yet, the error wraps
// fs.ErrNotExist.
func (p *Grid) OpenData(dir string) (*Data, error) {
	d := &Data{dir: filepath.Join(dir, "data-"+p.dataKey())}
	text, err := wholefile.Read(filepath.Join(d.dir, dataName), wholefile.Settings)
	if err == nil {
		err = json.Unmarshal(text, d)
	}
	if err != nil {
		return nil, fmt.Errorf("paper: data: %w", err)
	}
	return d, nil
}

// dataKey is a hash over everything that decides the split, except the files' bytes.
func (p *Grid) dataKey() string {
	text, err := json.Marshal(struct {
		Sets  []Set
		Seed  uint64
		World *recipe.World `json:",omitempty"`
		Seeds []uint64      `json:",omitempty"`
	}{p.Sets, p.SplitSeed, p.World, p.worldSeeds()})
	if err != nil {
		panic(err) // cannot happen: sets are strings and numbers
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// MakeData reads and splits the grid's sets once; later calls reuse the split. files resolves a
// path or an id on the hub to files. One process at a time makes the split.
func (p *Grid) MakeData(
	dir string, files func([]string) ([]string, error),
) (data *Data, failed error) {
	if d, err := p.OpenData(dir); !errors.Is(err, fs.ErrNotExist) {
		return d, err
	}
	if err := durable.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	d := &Data{dir: filepath.Join(dir, "data-"+p.dataKey())}
	lock, err := filelock.Acquire(d.dir + ".lock")
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("paper: %s is in use by another process: wait until it ends, or name "+
			"another folder", dir)
	} else if err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	defer func() { failed = errors.Join(failed, lock.Release()) }()
	if made, err := p.OpenData(dir); !errors.Is(err, fs.ErrNotExist) {
		return made, err // by another process meanwhile
	}
	if p.World != nil {
		return d, p.makeWorld(d)
	}
	parts := make([]*split, len(p.Sets))
	tested := map[string]bool{} // first messages
	for i, s := range p.Sets {
		var err error
		if parts[i], err = p.read(s, files); err != nil {
			return nil, fmt.Errorf("paper: set %s: %w", s.Name, err)
		}
		parts[i].takeTest(s, tested)
	}
	out, err := newDataWriter(d, p.dataKey())
	if err != nil {
		return nil, err
	}
	for i, s := range p.Sets {
		out.begin()
		part := parts[i]
		part.takeRest(s, tested)
		count := PartCounts{Set: s.Name, Read: part.counts, Train: len(part.train),
			Valid: len(part.valid), Test: len(part.test), Overlap: part.overlap}
		if min(count.Train, count.Valid, count.Test) == 0 {
			return nil, fmt.Errorf("paper: set %s has %d groups for test, %d for validation and %d to "+
				"train on: ask for fewer of the first ones", s.Name, count.Test, count.Valid, count.Train)
		}
		for _, of := range []struct {
			name   string
			groups []pref.Group
		}{{"train", part.train}, {"valid", part.valid}, {"test", part.test}} {
			if err := out.add(s.Name, of.name, of.groups); err != nil {
				return nil, err
			}
		}
		count.Hash = out.sum()
		d.Parts = append(d.Parts, count)
	}
	return d, out.finish()
}

// A dataWriter writes the files of a split under a temporary name, and hashes them.
type dataWriter struct {
	data      *Data
	temporary string
	hash, set hash.Hash // over all sets, and over one
}

func newDataWriter(d *Data, key string) (*dataWriter, error) {
	w := &dataWriter{data: d, temporary: d.dir + ".writing", hash: sha256.New()}
	if err := durable.RemoveAll(w.temporary); err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	if err := durable.MkdirAll(w.temporary); err != nil {
		return nil, fmt.Errorf("paper: %w", err)
	}
	fmt.Fprintln(w.hash, key)
	return w, nil
}

func (w *dataWriter) add(set, part string, groups []pref.Group) error {
	text, err := rows(groups)
	if err == nil {
		err = durable.WriteFile(filepath.Join(w.temporary, set+"."+part+".jsonl"), text)
	}
	if err != nil {
		return fmt.Errorf("paper: %w", err)
	}
	line := fmt.Sprintf("%s %s %x\n", set, part, sha256.Sum256(text))
	fmt.Fprint(w.hash, line)
	fmt.Fprint(w.set, line)
	return nil
}

// begin starts a set.
func (w *dataWriter) begin() { w.set = sha256.New() }

// sum is the hash over the set's parts.
func (w *dataWriter) sum() string { return hex.EncodeToString(w.set.Sum(nil)[:8]) }

func (w *dataWriter) finish() error {
	w.data.Hash = hex.EncodeToString(w.hash.Sum(nil)[:8])
	text, err := json.MarshalIndent(w.data, "", "  ")
	if err == nil {
		err = durable.WriteFile(filepath.Join(w.temporary, dataName), append(text, '\n'))
	}
	if err == nil {
		err = durable.Rename(w.temporary, w.data.dir)
	}
	if err != nil {
		return fmt.Errorf("paper: %w", err)
	}
	return nil
}

// File is a part of a set: "train", "valid" or "test".
func (d *Data) File(set, part string) string {
	if d == nil {
		return "-"
	}
	return filepath.Join(d.dir, set+"."+part+".jsonl")
}

// hash is a hash over the bytes of the named sets.
func (d *Data) hash(sets []string) string {
	if d == nil {
		return ""
	}
	var of []string
	for _, part := range d.Parts {
		if slices.Contains(sets, part.Set) {
			of = append(of, part.Hash)
		}
	}
	return strings.Join(of, " ")
}

// Groups reads a part of a set: "train", "valid" or "test".
func (d *Data) Groups(set, part string) ([]pref.Group, error) {
	groups, _, err := pref.Load([]string{d.File(set, part)}, pref.Options{Format: pref.Groups})
	return groups, err
}

// A split is a set before it is divided into three parts.
type split struct {
	rest, tests        []pref.Group // conversations in random order; tests come from test files
	own                bool         // the set has test files
	train, valid, test []pref.Group
	overlap            int
	counts             string
}

func (p *Grid) read(s Set, files func([]string) ([]string, error)) (*split, error) {
	out := &split{own: len(s.Test) > 0}
	for _, of := range []struct {
		named []string
		to    *[]pref.Group
	}{{s.Files, &out.rest}, {s.Test, &out.tests}} {
		if len(of.named) == 0 {
			continue
		}
		paths, err := files(of.named)
		if err != nil {
			return nil, err
		}
		groups, counts, err := pref.Load(paths, pref.Options{Format: s.Format, Label: s.Label,
			Subsets: s.Subsets, MaxChars: s.MaxChars, Columns: pref.Columns(s.Columns)})
		if err != nil {
			return nil, err
		}
		out.counts = strings.TrimSpace(out.counts + " " + counts.String())
		*of.to = shuffled(groups, recipe.StreamSeed(p.SplitSeed, "paper "+s.Name))
	}
	return out, nil
}

// shuffled sorts groups by a hash of seed and first message, so that conversations that begin alike
// stay together.
func shuffled(groups []pref.Group, seed uint64) []pref.Group {
	rank := func(g pref.Group) string {
		sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", seed, Opening(g)))
		return string(sum[:])
	}
	ranks := make(map[string]string, len(groups))
	for _, g := range groups {
		if key := Opening(g); ranks[key] == "" {
			ranks[key] = rank(g)
		}
	}
	out := slices.Clone(groups)
	slices.SortStableFunc(out, func(a, b pref.Group) int {
		return cmp.Compare(ranks[Opening(a)], ranks[Opening(b)])
	})
	return out
}

// Opening is the conversation's first user message. It identifies the conversation, because longer
// prompts of it begin with the same message.
func Opening(g pref.Group) string {
	for _, m := range g.Prompt {
		if m.Role == pref.User {
			return strings.Join(strings.Fields(strings.ToLower(m.Content)), " ")
		}
	}
	return ""
}

// takeTest fills the test part and records its conversations.
func (s *split) takeTest(spec Set, tested map[string]bool) {
	if s.own {
		s.test, _ = first(s.tests, spec.NTest)
	} else {
		s.test, s.rest = first(s.rest, spec.NTest)
	}
	for _, g := range s.test {
		tested[Opening(g)] = true
	}
}

// takeRest fills validation and training with conversations that no test set has.
func (s *split) takeRest(spec Set, tested map[string]bool) {
	var free []pref.Group
	for _, g := range s.rest {
		if tested[Opening(g)] {
			s.overlap++
		} else {
			free = append(free, g)
		}
	}
	s.valid, free = first(free, spec.NValid)
	s.train = free
	if spec.NTrain > 0 {
		s.train, _ = first(free, spec.NTrain)
	}
}

// first takes whole conversations until there are n groups. The last conversation may be cut; its
// remainder is dropped.
func first(groups []pref.Group, n int) (taken, rest []pref.Group) {
	if n >= len(groups) {
		return groups, nil
	}
	end := n
	for end < len(groups) && end > 0 && Opening(groups[end]) == Opening(groups[end-1]) {
		end++
	}
	return groups[:n], groups[end:]
}

// rows writes groups in the general form.
func rows(groups []pref.Group) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	type comparison struct {
		Chosen   int     `json:"chosen"`
		Rejected int     `json:"rejected"`
		Margin   float64 `json:"margin,omitempty"`
	}
	for _, g := range groups {
		row := struct {
			Prompt      []pref.Message `json:"prompt"`
			Responses   []string       `json:"responses"`
			Comparisons []comparison   `json:"comparisons"`
			Subset      string         `json:"subset,omitempty"`
			ID          string         `json:"id,omitempty"`
		}{Prompt: g.Prompt, Responses: g.Responses, Subset: g.Subset, ID: g.ID}
		for _, c := range g.Comparisons {
			row.Comparisons = append(row.Comparisons, comparison{c.Chosen, c.Rejected, c.Margin})
		}
		if err := encoder.Encode(row); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
