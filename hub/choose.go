package hub

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"haf/internal/splits"
)

// Names of files that decide which other files are needed.
const (
	configName         = "config.json"
	tokenizerName      = "tokenizer.json"
	weightsName        = "model.safetensors"
	indexName          = "model.safetensors.index.json"
	adapterConfigName  = "adapter_config.json"
	adapterWeightsName = "adapter_model.safetensors"
)

// besideWeights are the small files of a model that haf, or transformers with the same cache,
// reads.
var besideWeights = []string{
	configName, "generation_config.json", "haf.json", adapterConfigName, indexName,
	tokenizerName, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "merges.txt", "tokenizer.model",
	"chat_template.jinja", "chat_template.json",
}

// small returns the files of a model without its weights.
func small(files []string) []string {
	var out []string
	for _, name := range files {
		if slices.Contains(besideWeights, name) || path.Dir(name) == "additional_chat_templates" &&
			path.Ext(name) == ".jinja" {
			out = append(out, name)
		}
	}
	return out
}

// refuse returns an error for a model that is unusable, judged by the names of its files.
func refuse(ref Ref, files []string) error {
	var safe, pickled, gguf []string
	for _, name := range files {
		switch strings.ToLower(path.Ext(name)) {
		case ".safetensors":
			if path.Dir(name) == "." {
				safe = append(safe, name)
			}
		case ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack":
			if base := path.Base(name); base != "training_args.bin" && base != "optimizer.pt" {
				pickled = append(pickled, name)
			}
		case ".gguf":
			gguf = append(gguf, name)
		}
	}
	switch {
	case len(safe) > 0 && !slices.Contains(files, configName) &&
		!slices.Contains(files, adapterConfigName):
		return fmt.Errorf("hub: %s has neither %s nor %s: want a language model or an adapter", ref,
			configName, adapterConfigName)
	case len(safe) > 0:
		return nil
	case len(pickled) > 0:
		return fmt.Errorf("hub: %s has its weights only in a form that can run code when it is opened "+
			"(%s), and haf reads safetensors: look for a revision that has them (org/name@refs/pr/N), or "+
			"save the model again from transformers; nothing was fetched", ref, some(pickled))
	case len(gguf) > 0:
		return fmt.Errorf("hub: %s has GGUF files only: name the one to use, as in %s/%s; there are %s",
			ref, ref.ID, gguf[0], some(gguf))
	}
	return fmt.Errorf("hub: %s has no weights (*.safetensors) among its %d files: %s", ref, len(files),
		some(files))
}

// weights returns the files with a model's weights, as its loader would choose them. index is the
// content of model.safetensors.index.json, if there is one.
func weights(ref Ref, files []string, index []byte) ([]string, error) {
	switch {
	case slices.Contains(files, adapterConfigName) && slices.Contains(files, adapterWeightsName):
		return []string{adapterWeightsName}, nil
	case slices.Contains(files, weightsName):
		return []string{weightsName}, nil
	case index != nil:
		shards, err := shardsOf(index)
		if err != nil {
			return nil, fmt.Errorf("hub: %s: %s: %w", ref, indexName, err)
		}
		for _, name := range shards {
			if !slices.Contains(files, name) {
				return nil, fmt.Errorf("hub: %s: %s names %q, which the repository lacks", ref, indexName, name)
			}
		}
		return shards, nil
	}
	var out []string
	for _, name := range files {
		if path.Ext(name) == ".safetensors" && path.Dir(name) == "." {
			out = append(out, name)
		}
	}
	return out, nil
}

// shardsOf lists the files that an index names, sorted.
func shardsOf(index []byte) ([]string, error) {
	var file struct {
		Map map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(index, &file); err != nil {
		return nil, err
	}
	shards := map[string]bool{}
	for _, name := range file.Map {
		if !local(name) {
			return nil, fmt.Errorf("%q is no path inside a repository", name)
		}
		shards[name] = true
	}
	if len(shards) == 0 {
		return nil, fmt.Errorf("weight_map names no file")
	}
	return slices.Sorted(maps.Keys(shards)), nil
}

// dataFiles returns the data-set files that a ref names, in reading order. By precedence: its Part,
// by the rules of package splits; the file of that name; the files that match it as a pattern;
// those of the split of that name, such as train.jsonl or data/train-00000-of-00002.parquet; or
// those of the folder of that name. readme is the content of the data set's README.md.
func dataFiles(ref Ref, files []string, readme []byte) ([]string, error) {
	if ref.Part != "" || ref.File == "" {
		return partFiles(ref, files, readme)
	}
	if slices.Contains(files, ref.File) {
		return []string{ref.File}, nil
	}
	var readable, found []string
	for _, name := range files {
		if splits.Readable(name) {
			readable = append(readable, name)
		}
	}
	for _, name := range readable {
		if matched, err := doublestar.Match(ref.File, name); err == nil && matched {
			found = append(found, name)
		}
	}
	if found != nil {
		return slices.Sorted(slices.Values(found)), nil // a pattern may select some of the shards
	}
	dir, split := path.Split(ref.File)
	for _, name := range readable {
		at, base := path.Split(name)
		behind, ok := strings.CutPrefix(base, split)
		if ok && (at == dir || dir == "" && at == "data/") &&
			(strings.HasPrefix(behind, ".") || strings.HasPrefix(behind, "-0")) {
			found = append(found, name)
		}
	}
	inFolder := func(name string) bool { return strings.HasPrefix(name, ref.File+"/") }
	switch {
	case found != nil:
		slices.Sort(found)
		if err := splits.Complete(found); err != nil {
			return nil, fmt.Errorf("hub: %s: %w", ref, err)
		}
		return found, nil
	case slices.ContainsFunc(files, inFolder):
		return partFiles(ref, files, nil)
	case len(readable) == 0:
		return nil, fmt.Errorf("hub: %s has no file of data that haf reads (jsonl, json, parquet or "+
			"arrow) among its %d files: %s", ref, len(files), some(files))
	}
	return nil, fmt.Errorf("hub: %s/%s names no file of that data set: choose of %s", ref.page(),
		ref.File, some(readable))
}

// partFiles returns the files of the part of a data set, or of its folder, that a ref names.
func partFiles(ref Ref, files []string, readme []byte) ([]string, error) {
	whole, dir := ref.page(), ""
	if ref.File != "" {
		whole, dir, readme = whole+"/"+ref.File, ref.File+"/", nil
	}
	var below []string
	for _, name := range files {
		if rest, ok := strings.CutPrefix(name, dir); ok {
			below = append(below, rest)
		}
	}
	if len(below) == 0 && dir != "" {
		return nil, fmt.Errorf("hub: %s: no such folder in that data set: there are %s", whole,
			some(files))
	}
	set, err := splits.Read(below, readme)
	if err != nil {
		return nil, fmt.Errorf("hub: %s: %w", whole, err)
	}
	found, err := set.Choose(whole, ref.Part)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	out := make([]string, len(found))
	for i, name := range found {
		out[i] = dir + name
	}
	return out, nil
}

// needsReadMe reports whether the choice of a data set's files depends on its README.md.
func needsReadMe(ref Ref, files []string) bool {
	return ref.File == "" && slices.Contains(files, splits.ReadMe)
}

// some lists the first few names.
func some(names []string) string {
	const most = 8
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
