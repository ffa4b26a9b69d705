package splits

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// testdata/layouts.json is what the library datasets finds: testdata/layouts.py.
func TestAsDatasets(t *testing.T) {
	data, err := os.ReadFile("testdata/layouts.json")
	if err != nil {
		t.Fatal(err)
	}
	var layouts map[string]struct {
		Files   []string
		ReadMe  string
		Default *string
		Configs map[string][][2]json.RawMessage
	}
	if err := json.Unmarshal(data, &layouts); err != nil {
		t.Fatal(err)
	}
	for name, l := range layouts {
		set, err := Read(l.Files, []byte(l.ReadMe))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(set.Configs) != len(l.Configs) {
			t.Errorf("%s: %d configurations, want %d", name, len(set.Configs), len(l.Configs))
		}
		for _, c := range set.Configs {
			want := l.Configs[c.Name]
			if c.err != nil || len(c.Splits) != len(want) {
				t.Errorf("%s: %s has %+v, %v; want %s", name, c.Name, c.Splits, c.err, want)
				continue
			}
			if c.Default != (l.Default != nil && *l.Default == c.Name) {
				t.Errorf("%s: %s is the default: %v", name, c.Name, c.Default)
			}
			for i, s := range c.Splits {
				var split string
				var files []string
				if json.Unmarshal(want[i][0], &split) != nil || json.Unmarshal(want[i][1], &files) != nil {
					t.Fatal(name)
				}
				if s.Name != split || !slices.Equal(s.Files, files) || s.err != nil {
					t.Errorf("%s: %s: split %s has %q, %v; want %s %q", name, c.Name, s.Name, s.Files, s.err,
						split, files)
				}
			}
		}
	}
}

const twoConfigs = `---
configs:
- config_name: a
  data_files:
  - split: train
    path: a/train.jsonl
  - split: test
    path: a/*est.jsonl
- config_name: b
  data_files: b.jsonl
- config_name: test
  data_files: b.jsonl
%s---
`

func TestChoose(t *testing.T) {
	files := []string{"a/train.jsonl", "a/test.jsonl", "b.jsonl", "c.csv", "s-00000-of-00002.parquet",
		"d.json", "d.jsonl", "d.parquet"}
	read := func(more string) Set {
		set, err := Read(files, []byte(strings.Replace(twoConfigs, "%s", more, 1)))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	plain, named := read(""), read("- config_name: default\n  data_files:\n  - split: train\n    "+
		"path: d.json\n  - split: test\n    path: d.jsonl\n")
	bad := read(strings.Join([]string{"- config_name: up", "  data_files: ../x.jsonl",
		"- config_name: url", "  data_files: https://x/y.jsonl",
		"- config_name: gone", "  data_files: z.jsonl", "- config_name: none", "  data_files: z*.jsonl",
		"- config_name: csv", "  data_files: c.csv",
		"- config_name: part", "  data_files: s-*", "- config_name: mixed", "  data_files: d.*",
		"- config_name: field", "  data_files: d.json", "  field: data",
		"- config_name: twice", "  data_files:", "  - split: x", "    path: d.json", "  - split: x",
		"    path: d.json",
		"- config_name: dir", "  data_dir: ../up", "- config_name: odd", "  data_files: 3", ""}, "\n"))
	for _, test := range []struct {
		set        Set
		name, want string // files, or the error
	}{
		{plain, "a/train", "a/train.jsonl"}, {plain, "a/test", "a/test.jsonl"}, {plain, "b", "b.jsonl"},
		{plain, "b/train", "b.jsonl"},
		{plain, "", "DIR has several configurations and no default: name one of DIR:a/train, " +
			"DIR:a/test, DIR:b/train, DIR:test/train"},
		{plain, "a", "DIR has 2 splits: name one of"},
		{plain, "c", `DIR has no configuration "c": there are DIR:a/train`},
		{plain, "a/dev", `DIR has no split "dev": there are DIR:a/train`}, {plain, "test", "b.jsonl"},
		{named, "", "DIR has 2 splits: name one of"}, {named, "train", "d.json"},
		{named, "/test", "d.jsonl"}, {named, "default/test", "d.jsonl"},
		{named, "test",
			"DIR:test is both a configuration and a split: write DIR:test/SPLIT or DIR:/test"},
		{bad, "up", `"../x.jsonl" is no path inside the data set`},
		{bad, "url", `"https://x/y.jsonl" is no path inside`},
		{bad, "gone", `states the file "z.jsonl", which the data set lacks`},
		{bad, "none", "no file matches z*.jsonl"}, {bad, "csv", "haf does not read c.csv, want " +
			".jsonl, .json, .parquet and .arrow"},
		{bad, "part", "1 of the 2 shards of s-of-00002 are there"},
		{bad, "mixed", "files of 2 kinds"},
		{bad, "field", "README.md sets field = data, which haf does not know"},
		{bad, "twice", `split "x" without a path, or twice`},
		{bad, "dir", `the folder "../up", which is outside`}, {bad, "odd", `states the file "3"`},
	} {
		got, err := test.set.Choose("DIR", test.name)
		if text := strings.Join(got, " "); err == nil && text != test.want || err != nil &&
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %s, %v; want %s", test.name, text, err, test.want)
		}
	}
}

func TestChooseByName(t *testing.T) {
	for _, test := range []struct{ files, name, want string }{
		{"a.jsonl b.jsonl LICENSE.txt", "", "a.jsonl b.jsonl"},
		{"a.jsonl b.jsonl", "train", "a.jsonl b.jsonl"},
		{"a.jsonl", "test", `no split "test"`}, {"train.jsonl", "", "train.jsonl"},
		{"train.jsonl", "default/train", "train.jsonl"},
		{"train.jsonl more.jsonl", "", "DIR has the split train, and files of no split (more.jsonl)"},
		{"train.jsonl more.jsonl", "train", "train.jsonl"},
		{"train.jsonl test.jsonl", "", "DIR has 2 splits: name one of DIR:train, DIR:test"},
		{"a.txt", "", "DIR has no file of data"},
		{"a.csv b.jsonl", "", "haf does not read a.csv"}, {"a.parquet a.jsonl", "", "files of 2 kinds"},
		{"a.jsonl.zst b.json.gz", "", "a.jsonl.zst b.json.gz"},
		{"data/train-00000-of-00002.parquet", "", "1 of the 2 shards of train-of-00002 are there"},
	} {
		set, err := Read(strings.Fields(test.files), nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := set.Choose("DIR", test.name)
		if text := strings.Join(got, " "); err == nil && text != test.want || err != nil &&
			!strings.Contains(err.Error(), test.want) {
			t.Errorf("%q of %s: %s, %v; want %s", test.name, test.files, text, err, test.want)
		}
	}
}

func TestFrontMatterErrors(t *testing.T) {
	for _, c := range [][2]string{
		{"---\nconfigs: [\n---\n", "the front matter of README.md"},
		{"---\nconfigs:\n- data_files: x\n---\n", `configuration 1 has the config_name ""`},
		{"---\nconfigs:\n- config_name: a/b\n---\n", `the config_name "a/b"`},
		{"---\nconfigs:\n- config_name: a\n  default: true\n- config_name: default\n---\n",
			"several default configurations: a, default"},
	} {
		text, want := c[0], c[1]
		if _, err := Read([]string{"a.jsonl"}, []byte(text)); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	// Without configs, or without an end, it says nothing of the files.
	for _, text := range []string{"", "---\nconfigs:\n", "---\nlicense: mit\n---\n", "text"} {
		if set, err := Read([]string{"a.jsonl"}, []byte(text)); err != nil || len(set.Configs) != 1 {
			t.Errorf("%q: %+v, %v", text, set, err)
		}
	}
}

// No name of a file or of a pattern leads out of the data set.
func FuzzRead(f *testing.F) {
	f.Add("---\nconfigs:\n- config_name: a\n  data_files: ../*\n---\n",
		"a.jsonl data/train-00000-of-00001.parquet")
	f.Add(twoConfigs, "a/train.jsonl b.jsonl")
	f.Fuzz(func(t *testing.T, readme, names string) {
		files := strings.Fields(names)
		set, err := Read(files, []byte(readme))
		if err != nil {
			return
		}
		for _, c := range set.Configs {
			for _, s := range c.Splits {
				for _, name := range s.Files {
					if !slices.Contains(files, name) {
						t.Errorf("%q is no file of the data set", name)
					}
				}
			}
		}
	})
}
