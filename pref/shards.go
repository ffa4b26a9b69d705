package pref

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"

	"haf/internal/splits"
	"haf/internal/wholefile"
)

// Files of the folders that datasets writes with save_to_disk.
const (
	stateName = "state.json"        // of a data set: names its Arrow files
	dictName  = "dataset_dict.json" // of several: names their folders
)

// maxFiles bounds the files of a folder.
const maxFiles = 100_000

// A shard is one file of data.
type shard struct {
	path    string
	columns []string // to keep; none: all
}

// shards returns the files that a path names, in reading order: a file; a folder, or a split of one
// (FOLDER:SPLIT), by the rules of package splits; a folder of save_to_disk; or the files that match
// a pattern (*, ?, [a-z], **), sorted.
func shards(path string) ([]shard, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return folderShards(path, "")
	case err == nil || !errors.Is(err, fs.ErrNotExist):
		return []shard{{path: path}}, err
	}
	if dir, split, ok := splitOfFolder(path); ok {
		return folderShards(dir, split)
	}
	if !strings.ContainsAny(path, "*?[") {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOENT}
	}
	matches, err := doublestar.FilepathGlob(path, doublestar.WithFilesOnly(),
		doublestar.WithFailOnIOErrors())
	if err != nil {
		return nil, fmt.Errorf("pattern %s: %w", path, err)
	}
	if len(matches) == 0 {
		return nil, fmt.Errorf("no file matches the pattern %s", path)
	}
	slices.Sort(matches)
	out := make([]shard, len(matches))
	for i, name := range matches {
		out[i].path = name
	}
	return out, nil
}

// splitOfFolder reads FOLDER:SPLIT and FOLDER:CONFIG/SPLIT.
func splitOfFolder(path string) (dir, split string, ok bool) {
	i := strings.LastIndexByte(path, ':')
	if i < 1 {
		return "", "", false
	}
	info, err := os.Stat(path[:i])
	return path[:i], path[i+1:], err == nil && info.IsDir()
}

func folderShards(dir, split string) ([]shard, error) {
	switch {
	case fileIn(dir, stateName):
		if split != "" {
			return nil, fmt.Errorf("%s is one data set of save_to_disk, without splits: leave out %q", dir,
				":"+split)
		}
		return savedShards(dir)
	case fileIn(dir, dictName):
		return savedSplit(dir, split)
	}
	names, err := filesBelow(dir)
	if err != nil {
		return nil, err
	}
	var readme []byte
	if slices.Contains(names, splits.ReadMe) {
		readme, err = wholefile.Read(filepath.Join(dir, splits.ReadMe), wholefile.Settings)
		if err != nil {
			return nil, err
		}
	}
	set, err := splits.Read(names, readme)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	files, err := set.Choose(dir, split)
	if err != nil {
		return nil, err
	}
	out := make([]shard, len(files))
	for i, name := range files {
		out[i].path = filepath.Join(dir, filepath.FromSlash(name))
	}
	return out, nil
}

func fileIn(dir, name string) bool {
	info, err := os.Stat(filepath.Join(dir, name))
	return err == nil && !info.IsDir()
}

// filesBelow lists the files of a folder and the folders below it, with slashes.
func filesBelow(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if len(names) == maxFiles {
			return fmt.Errorf("%s has more than %d files: name them by a pattern", dir, maxFiles)
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	return names, err
}

// savedShards returns the files of a folder of save_to_disk. Others that lie there, such as those
// of the library's cache, are none of them.
func savedShards(dir string) ([]shard, error) {
	var state struct {
		Files []struct {
			Name string `json:"filename"`
		} `json:"_data_files"`
		Columns []string         `json:"_format_columns"`
		All     bool             `json:"_output_all_columns"`
		Indices *json.RawMessage `json:"_indices_data_files"`
	}
	if err := readJSON(filepath.Join(dir, stateName), &state); err != nil {
		return nil, err
	}
	if state.Indices != nil && string(*state.Indices) != "null" {
		return nil, fmt.Errorf("%s: the rows are chosen by an index, as old versions of datasets wrote "+
			"it: save it again with a new one", dir)
	}
	if len(state.Files) == 0 {
		return nil, fmt.Errorf("%s: %s names no file in _data_files: is it a folder of save_to_disk?",
			dir, stateName)
	}
	if state.All {
		state.Columns = nil
	}
	out := make([]shard, len(state.Files))
	for i, f := range state.Files {
		if !filepath.IsLocal(f.Name) {
			return nil, fmt.Errorf("%s: %s names %q, which is outside the folder", dir, stateName, f.Name)
		}
		out[i] = shard{filepath.Join(dir, f.Name), state.Columns}
	}
	return out, nil
}

// savedSplit returns the files of one split of a saved DatasetDict.
func savedSplit(dir, split string) ([]shard, error) {
	var dict struct {
		Splits []string `json:"splits"`
	}
	if err := readJSON(filepath.Join(dir, dictName), &dict); err != nil {
		return nil, err
	}
	if split == "" && len(dict.Splits) == 1 {
		split = dict.Splits[0]
	}
	if !slices.Contains(dict.Splits, split) || !filepath.IsLocal(split) {
		var forms []string
		for _, name := range dict.Splits {
			forms = append(forms, dir+":"+name)
		}
		if split == "" {
			return nil, fmt.Errorf("%s has %d splits: name one of %s", dir, len(forms),
				strings.Join(forms, ", "))
		}
		return nil, fmt.Errorf("%s has no split %q: there are %s", dir, split, strings.Join(forms, ", "))
	}
	return savedShards(filepath.Join(dir, split))
}

func readJSON(path string, to any) error {
	data, err := wholefile.Read(path, wholefile.Vocabulary)
	if err != nil {
		return err
	}
	if err := wholefile.Unmarshal(data, to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
