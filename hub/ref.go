package hub

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// A Ref names a repository of the hub, or a file in it.
type Ref struct {
	Dataset bool
	ID      string // org/name
	// path inside the repository, for a data set also a pattern; "" is the whole repository
	File string
	// part of a data set: CONFIG/SPLIT, CONFIG, SPLIT or /SPLIT; "" if there is only one
	Part     string
	Revision string // branch, tag or commit
}

// Scheme marks a path as an id of the hub, whatever is on disk: hf:org/name.
const Scheme = "hf:"

const (
	defaultRevision = "main"
	datasetPrefix   = "datasets/"
)

var (
	idForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$`)
	// revisionForm keeps a revision inside the cache's refs folder and readable in a URL.
	revisionForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,199}$`)
	commitForm   = regexp.MustCompile(`^[0-9a-f]{40}$`)
	partForm     = regexp.MustCompile(`^([^/:@\\\x00-\x1f]*/)?[^/:@\\\x00-\x1f]+$`)
)

// ParseRef reads [hf:]org/name[/file][@revision] and
// [hf:]datasets/org/name[/file][:[config/]split][@revision].
func ParseRef(text string) (Ref, error) {
	ref := Ref{Revision: defaultRevision}
	rest := strings.TrimPrefix(strings.TrimPrefix(text, Scheme), "//")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest, ref.Revision = rest[:i], rest[i+1:]
		if !revisionForm.MatchString(ref.Revision) || !local(ref.Revision) {
			return Ref{}, fmt.Errorf("hub: %q: %q is no revision: want a branch, tag or commit "+
				"behind the @", text, ref.Revision)
		}
	}
	rest, ref.Dataset = strings.CutPrefix(rest, datasetPrefix)
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && ref.Dataset {
		rest, ref.Part = rest[:i], rest[i+1:]
		if !partForm.MatchString(ref.Part) {
			return Ref{}, fmt.Errorf("hub: %q: %q is no part of a data set: want a split or config/split "+
				"behind the colon", text, ref.Part)
		}
	}
	parts := strings.SplitN(rest, "/", 3)
	if len(parts) < 2 || !validID(parts[0]+"/"+parts[1]) {
		return Ref{}, fmt.Errorf("hub: %q is no id: want org/name, org/name@revision, "+
			"datasets/org/name/file or datasets/org/name:config/split", text)
	}
	ref.ID = parts[0] + "/" + parts[1]
	if len(parts) == 3 {
		if ref.File = parts[2]; !local(ref.File) {
			return Ref{}, fmt.Errorf("hub: %q: %q is no path inside a repository", text, ref.File)
		}
	}
	return ref, nil
}

func validID(id string) bool {
	return idForm.MatchString(id) && !strings.Contains(id, "--") && !strings.Contains(id, "..") &&
		!strings.HasSuffix(id, ".git")
}

// local reports whether a path in a repository stays below the folder that it is joined to, on
// every system.
func local(name string) bool {
	return name != "" && name == path.Clean(name) && name != ".." && !strings.HasPrefix(name, "../") &&
		!path.IsAbs(name) && name != "." && !strings.ContainsAny(name, "\\:") &&
		utf8.ValidString(name) && !strings.ContainsFunc(name, unicode.IsControl)
}

// checkListed returns an error unless the names in a hub's list are paths inside a repository,
// without duplicates.
func checkListed(repository string, names []string) error {
	seen := map[string]bool{}
	for _, name := range names {
		if !local(name) {
			return fmt.Errorf("hub: %s: the repository has a file %q, which is no path inside it: haf "+
				"takes nothing from such a repository; tell its owner, or name another", repository, name)
		}
		if seen[name] {
			return fmt.Errorf("hub: %s: the repository has two files %q: is HF_ENDPOINT a hub?",
				repository, name)
		}
		seen[name] = true
	}
	return nil
}

// maxPart is the length limit, in bytes, of a part of a path on usual file systems.
const maxPart = 255

// devices are the names that Windows opens as devices, in any folder and with any extension.
var devices = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)`)

// checkStored returns an error unless every system can store files of these names. Names that
// differ only in case are an error, because one file would replace the other.
func checkStored(repository string, names []string) error {
	fold, seen := cases.Fold(), map[string]string{}
	for _, name := range names {
		for part := range strings.SplitSeq(name, "/") {
			if len(part) > maxPart || strings.ContainsAny(part, `*?"<>|`) || devices.MatchString(part) ||
				strings.HasSuffix(part, ".") || strings.HasSuffix(part, " ") {
				return fmt.Errorf("hub: %s: no file on Windows can be called %q, so haf does not store it: "+
					"rename it in the repository", repository, part)
			}
		}
		folded := fold.String(norm.NFC.String(name))
		if other, ok := seen[folded]; ok {
			return fmt.Errorf("hub: %s: %q and %q are one file where names have no case: rename one in "+
				"the repository", repository, other, name)
		}
		seen[folded] = name
	}
	return nil
}

// String is the form that ParseRef reads.
func (r Ref) String() string {
	text := r.ID
	if r.Dataset {
		text = datasetPrefix + text
	}
	if r.File != "" {
		text += "/" + r.File
	}
	if r.Part != "" {
		text += ":" + r.Part
	}
	if r.Revision != defaultRevision {
		text += "@" + r.Revision
	}
	return text
}

// kind is the API's word for the sort of repository.
func (r Ref) kind() string {
	if r.Dataset {
		return "datasets"
	}
	return "models"
}

// page is the repository's path on the hub's web site.
func (r Ref) page() string {
	if r.Dataset {
		return datasetPrefix + r.ID
	}
	return r.ID
}

// folder is the repository's folder in the cache.
func (r Ref) folder() string { return r.kind() + "--" + strings.ReplaceAll(r.ID, "/", "--") }

// modelRef decides whether a path that does not exist on disk means the hub. Without the scheme
// only org/name and org/name/file.gguf do: a path with more parts, or one that looks like a file,
// is a mistyped local path.
func modelRef(text string) (ref Ref, ok bool, err error) {
	named := strings.HasPrefix(text, Scheme)
	ref, err = ParseRef(text)
	switch {
	case err != nil && named:
		return Ref{}, false, err
	case err != nil || ref.Dataset && !named:
		return Ref{}, false, nil
	case ref.Dataset:
		return Ref{}, false, fmt.Errorf("hub: %s is a data set, want a model: org/name", text)
	case ref.File != "" && !isGGUF(ref.File):
		if named {
			return Ref{}, false, fmt.Errorf("hub: %s: a model is taken whole (org/name), or is one GGUF "+
				"file (org/name/file.gguf)", text)
		}
		return Ref{}, false, nil
	case !named && ref.File == "" && fileLike(ref.ID):
		return Ref{}, false, nil
	}
	return ref, true, nil
}

// dataRef is modelRef for data: only datasets/… means the hub, with or without the scheme.
func dataRef(text string) (ref Ref, ok bool, err error) {
	named := strings.HasPrefix(text, Scheme)
	if !named && !strings.HasPrefix(text, datasetPrefix) {
		return Ref{}, false, nil
	}
	ref, err = ParseRef(text)
	if err == nil && !ref.Dataset {
		err = fmt.Errorf("hub: %s: data is in a data set: %sdatasets/org/name:split", text, Scheme)
	}
	if err != nil {
		if named {
			return Ref{}, false, err
		}
		return Ref{}, false, nil
	}
	return ref, true, nil
}

func isGGUF(name string) bool { return strings.EqualFold(path.Ext(name), ".gguf") }

// fileLike reports whether the second part ends like a file's name, which no published model's name
// does.
func fileLike(id string) bool {
	switch strings.ToLower(path.Ext(id)) {
	case ".json", ".jsonl", ".gz", ".toml", ".safetensors", ".gguf", ".bin", ".pt", ".txt", ".parquet":
		return true
	}
	return false
}
