package splits

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// families are the extensions that haf reads, by kind. A split has files of one kind.
var families = map[string]string{".jsonl": "JSON", ".json": "JSON", ".ndjson": "JSON",
	".parquet": "Parquet", ".arrow": "Arrow"}

// endings are the keys of families, for errors.
const endings = ".jsonl, .json, .parquet and .arrow"

// unread are the extensions of data files that haf does not read.
var unread = []string{".csv", ".tsv", ".zip", ".tar", ".tgz", ".xz", ".bz2", ".lz4", ".7z", ".h5",
	".hdf5", ".xml", ".pkl", ".lance", ".vortex", ".avro", ".orc", ".feather", ".geoparquet", ".eval"}

// ignoredNames are files beside the data that look like data.
var ignoredNames = []string{ReadMe, "config.json", "dataset_info.json", "dataset_infos.json",
	"dataset_dict.json", "state.json", "dummy_data.zip"}

func ignored(name string) bool { return slices.Contains(ignoredNames, path.Base(name)) }

// ending is a name's last extension, ignoring that of compression.
func ending(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if ext == ".gz" || ext == ".zst" || ext == ".zstd" {
		ext = strings.ToLower(path.Ext(strings.TrimSuffix(name, path.Ext(name))))
	}
	return ext
}

// Readable reports whether haf reads files with such a name.
func Readable(name string) bool { return families[ending(name)] != "" }

// data reports whether a name is that of a data file, readable or not.
func data(name string) bool {
	return !ignored(name) && (Readable(name) || slices.Contains(unread, ending(name)))
}

// visible reports whether no part of a name is hidden: by a dot, or for a folder by two
// underscores.
func visible(name string) bool { return special(name) == 0 }

// special counts the parts of a name that a pattern must contain literally.
func special(name string) int {
	n := 0
	parts := strings.Split(name, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, ".") || i < len(parts)-1 && strings.HasPrefix(part, "__") {
			n++
		}
	}
	return n
}

var (
	shard     = regexp.MustCompile(`-(\d{5})-of-(\d{5})`)
	sharded   = regexp.MustCompile(`^data/([^/]+)-\d{5}-of-\d{5}[^/]*\.[^/]*$`)
	splitName = regexp.MustCompile(`^\w+(\.\w+)*$`)
)

// keywords are the words in names that identify the split of a file, in the library's order.
var keywords = []struct {
	split string
	words []string
}{
	{"train", []string{"train", "training"}},
	{"validation", []string{"validation", "valid", "dev", "val"}},
	{"test", []string{"test", "testing", "eval", "evaluation"}},
}

// byName finds splits by the names of sorted files below a folder of the data set, which is "" or
// ends in a slash. By precedence: files data/SPLIT-00000-of-00001.*; folders with a keyword; files
// with a keyword; else all files are the split train.
func byName(files []string, dir string) []Split {
	var names []string // without dir
	for _, name := range files {
		if rest, ok := strings.CutPrefix(name, dir); ok && data(rest) && visible(rest) {
			names = append(names, rest)
		}
	}
	found := bySharded(names)
	if found == nil {
		found = byKeyword(names, inFolder)
	}
	if found == nil {
		found = byKeyword(names, inFile)
	}
	if found == nil && len(names) > 0 {
		found = []Split{{Name: "train", Files: names}}
	}
	for i := range found {
		for k := range found[i].Files {
			found[i].Files[k] = dir + found[i].Files[k]
		}
		found[i].settle()
	}
	return found
}

func bySharded(names []string) []Split {
	files := map[string][]string{}
	for _, name := range names {
		if m := sharded.FindStringSubmatch(name); m != nil && splitName.MatchString(m[1]) {
			files[m[1]] = append(files[m[1]], name)
		}
	}
	var order []string
	for _, k := range keywords {
		order = append(order, k.split)
	}
	for name := range files {
		if !slices.Contains(order, name) {
			order = append(order, name)
		}
	}
	slices.Sort(order[len(keywords):])
	var out []Split
	for _, name := range order {
		if files[name] != nil {
			out = append(out, Split{Name: name, Files: files[name]})
		}
	}
	return out
}

// inFolder and inFile return the patterns for a keyword in a name, one for each pattern of the
// library. Files are sorted by pattern.
func inFolder(word string) []*regexp.Regexp {
	const sep = `[-._ 0-9]`
	var out []*regexp.Regexp
	for _, form := range []string{word, word + sep + `[^/]*`, `[^/]*` + sep + word, `[^/]*` + sep +
		word + sep + `[^/]*`} {
		out = append(out, regexp.MustCompile(`(^|/)`+form+`/`))
	}
	return out
}

func inFile(word string) []*regexp.Regexp {
	const sep = `[-._ 0-9]`
	return []*regexp.Regexp{regexp.MustCompile(`(^|/)` + word + sep + `[^/]*$`),
		regexp.MustCompile(`(^|/)[^/]*` + sep + word + sep + `[^/]*$`)}
}

func byKeyword(names []string, patterns func(word string) []*regexp.Regexp) []Split {
	var out []Split
	for _, k := range keywords {
		s := Split{Name: k.split}
		for _, word := range k.words {
			for _, pattern := range patterns(word) {
				for _, name := range names {
					if pattern.MatchString(name) && !slices.Contains(s.Files, name) {
						s.Files = append(s.Files, name)
					}
				}
			}
		}
		if s.Files != nil {
			out = append(out, s)
		}
	}
	return out
}

// settle checks that the files of a split are complete and of one kind that haf reads.
func (s *Split) settle() {
	if s.err != nil {
		return
	}
	kinds := map[string][]string{}
	var cannot []string
	for _, name := range s.Files {
		if family := families[ending(name)]; family != "" {
			kinds[family] = append(kinds[family], name)
		} else {
			cannot = append(cannot, name)
		}
	}
	switch {
	case len(cannot) > 0:
		s.err = fmt.Errorf("haf does not read %s, want %s: name files that it reads by a pattern",
			some(cannot), endings)
	case len(kinds) > 1:
		s.err = fmt.Errorf("files of %d kinds (%s), want one: name the files by a pattern", len(kinds),
			some(s.Files))
	default:
		s.err = Complete(s.Files)
	}
}
