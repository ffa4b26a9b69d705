// Package splits finds the configurations and splits of a data set among the names of its files, as
// the Python library datasets does: by the front matter of README.md, else by the names.
package splits

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// A Set is a data set's files by configuration.
type Set struct {
	Configs []Config
	rest    []string // readable files in no split, if there is one configuration
}

// A Config is a variant of a data set, such as a language or a size.
type Config struct {
	Name    string
	Default bool // used if none is named
	Splits  []Split
	err     error // reason that it has no splits
}

// A Split is a part of a configuration, such as train or test, with its files in reading order.
type Split struct {
	Name  string
	Files []string
	err   error // reason that the files cannot be read
}

// ReadMe is the name of the file with the front matter.
const ReadMe = "README.md"

const defaultConfig = "default"

// Read finds the configurations and splits among the names of a data set's files, separated by
// slashes. readme is the content of its README.md, or nil.
func Read(files []string, readme []byte) (Set, error) {
	files = slices.Sorted(slices.Values(files))
	configs, err := frontMatter(readme)
	if err != nil {
		return Set{}, err
	}
	if len(configs) == 0 {
		found := byName(files, "")
		set := Set{Configs: []Config{{Name: defaultConfig, Default: true, Splits: found}}}
		set.rest = leftOver(files, found)
		return set, nil
	}
	var set Set
	for _, c := range configs {
		set.Configs = append(set.Configs, c.resolve(files))
	}
	return set, checkDefaults(set.Configs)
}

// leftOver returns the readable files in no split.
func leftOver(files []string, of []Split) []string {
	var rest []string
	for _, name := range files {
		in := func(s Split) bool { return slices.Contains(s.Files, name) }
		if Readable(name) && visible(name) && !ignored(name) && !slices.ContainsFunc(of, in) {
			rest = append(rest, name)
		}
	}
	return rest
}

// Choose returns the files of a name: CONFIG/SPLIT, CONFIG, SPLIT, /SPLIT of the default
// configuration, or "". The name must have exactly one meaning. whole is the data set's name for
// errors, which list the choices.
func (s Set) Choose(whole, name string) ([]string, error) {
	config, split, both := strings.Cut(name, "/")
	if !both {
		isConfig := slices.ContainsFunc(s.Configs, func(c Config) bool { return c.Name == name })
		byDefault, _ := s.config("")
		isSplit := slices.ContainsFunc(byDefault.Splits, func(x Split) bool { return x.Name == name })
		switch {
		case name != "" && isConfig && isSplit && !(len(byDefault.Splits) == 1 && byDefault.Name == name):
			return nil, fmt.Errorf("%s:%s is both a configuration and a split: write %s:%s/SPLIT or %s:/%s",
				whole, name, whole, name, whole, name)
		case name != "" && !isConfig && (isSplit || len(s.Configs) == 1):
			config, split = "", name
		}
	}
	c, ok := s.config(config)
	switch {
	case !ok && config == "":
		return nil, fmt.Errorf("%s has several configurations and no default: name one of %s", whole,
			s.list(whole))
	case !ok:
		return nil, fmt.Errorf("%s has no configuration %q: there are %s", whole, config, s.list(whole))
	case c.err != nil:
		return nil, fmt.Errorf("%s: configuration %s: %w", whole, c.Name, c.err)
	case len(c.Splits) == 0:
		return nil, fmt.Errorf("%s has no file of data, want some of %s", whole, endings)
	case split == "" && len(c.Splits) > 1:
		return nil, fmt.Errorf("%s has %d splits: name one of %s", whole, len(c.Splits), s.list(whole))
	case split == "" && len(s.rest) > 0:
		return nil, fmt.Errorf("%s has the split %s, and files of no split (%s): name the split (%s:%s) "+
			"or the files by a pattern",
			whole, c.Splits[0].Name, some(s.rest), whole, c.Splits[0].Name)
	case split == "":
		split = c.Splits[0].Name
	}
	for _, x := range c.Splits {
		if x.Name == split {
			if x.err != nil {
				return nil, fmt.Errorf("%s: split %s: %w", whole, split, x.err)
			}
			return x.Files, nil
		}
	}
	return nil, fmt.Errorf("%s has no split %q: there are %s", whole, split, s.list(whole))
}

// config returns the configuration with that name, or the default for "".
func (s Set) config(name string) (Config, bool) {
	for _, c := range s.Configs {
		if c.Name == name || name == "" && c.Default {
			return c, true
		}
	}
	return Config{}, false
}

// list lists the names that select one split each.
func (s Set) list(whole string) string {
	const most = 20
	var forms []string
	for _, c := range s.Configs {
		for _, x := range c.Splits {
			name := x.Name
			if len(s.Configs) > 1 {
				name = c.Name + "/" + name
			}
			forms = append(forms, whole+":"+name)
		}
	}
	if len(forms) > most {
		return strings.Join(forms[:most], ", ") + fmt.Sprintf(" and %d more", len(forms)-most)
	}
	return strings.Join(forms, ", ")
}

// some lists the first few names.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

// Complete returns an error if some of the files …-NNNNN-of-NNNNN are missing.
func Complete(files []string) error {
	there, of := map[string]int{}, map[string]int{}
	var order []string
	for _, name := range files {
		m := shard.FindStringSubmatchIndex(name)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(name[m[4]:m[5]])
		if err != nil {
			continue
		}
		key := name[:m[0]] + "-of-" + name[m[4]:m[5]]
		if there[key] == 0 {
			order = append(order, key)
		}
		there[key]++
		of[key] = n
	}
	for _, key := range order {
		if there[key] != of[key] {
			return fmt.Errorf("%d of the %d shards of %s are there", there[key], of[key], path.Base(key))
		}
	}
	return nil
}
