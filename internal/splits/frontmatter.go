package splits

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"go.yaml.in/yaml/v4"
)

// stated is a configuration in the front matter of README.md.
type stated struct {
	Name      string    `yaml:"config_name"`
	DataFiles yaml.Node `yaml:"data_files"`
	DataDir   string    `yaml:"data_dir"`
	Default   bool      `yaml:"default"`
	// Settings of the library that change the rows or how they are read.
	Field    any `yaml:"field"`
	Filters  any `yaml:"filters"`
	Columns  any `yaml:"columns"`
	Encoding any `yaml:"encoding"`
}

// frontMatter returns the configurations in the front matter of a README.md, between its first two
// lines "---".
func frontMatter(readme []byte) ([]stated, error) {
	readme = bytes.TrimPrefix(readme, []byte("\ufeff"))
	lines := bytes.SplitAfter(readme, []byte("\n"))
	if len(lines) == 0 || string(bytes.TrimSpace(lines[0])) != "---" {
		return nil, nil
	}
	end := slices.IndexFunc(lines[1:],
		func(line []byte) bool { return string(bytes.TrimRight(line, " \t\r\n")) == "---" })
	if end < 0 {
		return nil, nil
	}
	var top struct {
		Configs []stated `yaml:"configs"`
	}
	if err := yaml.Unmarshal(bytes.Join(lines[1:1+end], nil), &top); err != nil {
		return nil, fmt.Errorf("the front matter of %s: %w: name the files themselves", ReadMe, err)
	}
	for i, c := range top.Configs {
		if c.Name == "" || strings.ContainsAny(c.Name, "/:@") {
			return nil, fmt.Errorf("the front matter of %s: configuration %d has the config_name %q, "+
				"want a name without / : @: name the files themselves", ReadMe, i+1, c.Name)
		}
	}
	return top.Configs, nil
}

// checkDefaults marks the default configuration, as the library chooses it.
func checkDefaults(configs []Config) error {
	var defaults []string
	for i := range configs {
		c := &configs[i]
		c.Default = c.Default || c.Name == defaultConfig || len(configs) == 1
		if c.Default {
			defaults = append(defaults, c.Name)
		}
	}
	if len(defaults) > 1 {
		return fmt.Errorf("%s states several default configurations: %s", ReadMe,
			strings.Join(defaults, ", "))
	}
	return nil
}

// resolve finds the files of a configuration.
func (c stated) resolve(files []string) Config {
	out := Config{Name: c.Name, Default: c.Default}
	for _, setting := range []struct {
		name  string
		value any
	}{{"field", c.Field}, {"filters", c.Filters}, {"columns", c.Columns}, {"encoding", c.Encoding}} {
		if setting.value != nil {
			out.err = fmt.Errorf("%s sets %s = %v, which haf does not know: name the files themselves",
				ReadMe, setting.name, setting.value)
			return out
		}
	}
	dir := ""
	if c.DataDir != "" && c.DataDir != "." {
		if dir = path.Clean(c.DataDir) + "/"; outside(c.DataDir) {
			out.err = fmt.Errorf("%s states the folder %q, which is outside the data set", ReadMe, c.DataDir)
			return out
		}
	}
	if c.DataFiles.Kind == 0 {
		out.Splits = byName(files, dir)
		return out
	}
	patterns, err := patternsOf(c.DataFiles)
	if err != nil {
		out.err = fmt.Errorf("data_files in %s: %w", ReadMe, err)
		return out
	}
	for _, p := range patterns {
		s := Split{Name: p.Split}
		if !splitName.MatchString(s.Name) {
			out.err = fmt.Errorf("%s states a split %q, want letters, digits, _ and dots", ReadMe, s.Name)
			return out
		}
		s.Files, s.err = matchAll(files, p.Path, dir)
		s.settle()
		out.Splits = append(out.Splits, s)
	}
	return out
}

// A list is one text or several.
type list []string

func (l *list) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		*l = list{node.Value}
		return nil
	}
	var texts []string
	err := node.Decode(&texts)
	*l = texts
	return err
}

// splitPatterns are the patterns of a split in data_files.
type splitPatterns struct {
	Split string `yaml:"split"`
	Path  list   `yaml:"path"`
}

// patternsOf reads data_files: a pattern or a list of patterns, for the split train; or a list of
// {split, path}.
func patternsOf(node yaml.Node) ([]splitPatterns, error) {
	var plain list
	if err := node.Decode(&plain); err == nil {
		return []splitPatterns{{"train", plain}}, nil
	}
	var each []splitPatterns
	if err := node.Decode(&each); err != nil {
		return nil, fmt.Errorf("want a pattern, a list of patterns, or a list of {split, path}: %w",
			err)
	}
	seen := map[string]bool{}
	for _, p := range each {
		if p.Split == "" || len(p.Path) == 0 || seen[p.Split] {
			return nil, fmt.Errorf(
				"split %q without a path, or twice: want {split, path}, each split once", p.Split)
		}
		seen[p.Split] = true
	}
	return each, nil
}

// outside reports whether a path or pattern leads out of the data set.
func outside(name string) bool {
	return path.IsAbs(name) || strings.Contains(name, "://") ||
		slices.Contains(strings.Split(name, "/"), "..") || strings.Contains(name, `\`)
}

// matchAll returns the data files that patterns name, in the order of the patterns, without
// duplicates.
func matchAll(files []string, patterns []string, dir string) ([]string, error) {
	var out []string
	for _, pattern := range patterns {
		if outside(pattern) {
			return nil, fmt.Errorf("%q is no path inside the data set", pattern)
		}
		pattern = dir + strings.TrimPrefix(pattern, "./")
		plain := !strings.ContainsAny(pattern, "*?[")
		n := 0
		for _, name := range files {
			ok := name == pattern
			if !plain && data(name) && special(name) == special(pattern) {
				var err error
				// The library's patterns have no braces.
				if ok, err = doublestar.Match(strings.NewReplacer("{", `\{`, "}", `\}`).Replace(pattern),
					name); err != nil {
					return nil, fmt.Errorf("pattern %q: %w", pattern, err)
				}
			}
			if ok {
				n++
				if !slices.Contains(out, name) {
					out = append(out, name)
				}
			}
		}
		if plain && n == 0 {
			return nil, fmt.Errorf("%s states the file %q, which the data set lacks", ReadMe, pattern)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no file matches %s", strings.Join(patterns, ", "))
	}
	return out, nil
}
