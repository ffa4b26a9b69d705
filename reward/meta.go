package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"haf/encode"
	"haf/lm"
	"haf/objective"
	"haf/tokenizer"
)

// MetaName is the file of a model folder that says what a Hugging Face folder cannot: docs/format.md.
const MetaName = "haf.json"

// metaFormat is the number of the form of [Meta]; a reader refuses a later one.
const metaFormat = 1

// Meta records how a reward model was trained, so that it is used in the same way everywhere.
type Meta struct {
	Format     int              `json:"format"`
	Base       string           `json:"base"`       // what it was trained from: the reference of the implicit reward
	BaseHash   string           `json:"base_hash"`  // over the base's weights
	Template   TemplateMeta     `json:"template"`   // how a prompt becomes text
	EndToken   string           `json:"end_token"`  // closes every response; the reward is read there
	MaxLength  int              `json:"max_length"` // of prompt and response, in tokens; 0 is no limit
	Truncation string           `json:"truncation"` // what is done with a longer one
	Objective  objective.Hybrid `json:"objective"`  // what it was trained by
	DType      string           `json:"dtype"`      // of the body
	Heads      []string         `json:"heads"`      // the trained ones: "score", "policy"
	// ScoreOffset is added to what the score head gives: the bias that the model's source had.
	ScoreOffset float64 `json:"score_offset,omitempty"`
}

// TemplateMeta names a chat template: "model" is the model's own, others are built in, or Source has it whole.
type TemplateMeta struct {
	Name   string `json:"name"`
	Source string `json:"source,omitempty"`
	Hash   string `json:"hash"`
}

// readMeta returns the folder's haf.json; a folder without one has the zero Meta.
func readMeta(dir string) (Meta, error) {
	var meta Meta
	if lm.IsGGUF(dir) {
		return meta, nil
	}
	path := filepath.Join(dir, MetaName)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return meta, nil
	}
	if err != nil {
		return meta, fmt.Errorf("reward: %w", err)
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return meta, fmt.Errorf("reward: %s: %w", path, err)
	}
	if meta.Format > metaFormat {
		return meta, fmt.Errorf("reward: %s: format %d is newer than this program reads (%d): use a newer haf", path, meta.Format, metaFormat)
	}
	return meta, nil
}

// chooseTemplate finds the chat template by name: "" or "auto" the model's own where it has one, else plain;
// "model", a built-in name, or a file of Jinja source.
func chooseTemplate(tok *tokenizer.Tokenizer, name string, saved TemplateMeta) (*tokenizer.Template, TemplateMeta, error) {
	bos, _, _ := tok.Special("bos_token")
	eos, _, _ := tok.Special("eos_token")
	var tpl *tokenizer.Template
	var err error
	meta := TemplateMeta{Name: name}
	if name == "" || name == "auto" {
		meta = saved
		meta.Hash = ""
	}
	switch {
	case meta.Source != "":
		tpl, err = tokenizer.NewTemplate(meta.Source, bos, eos)
	case meta.Name == "" || meta.Name == "auto":
		meta.Name = "model"
		if tpl, err = tok.Template(); errors.Is(err, tokenizer.ErrNoTemplate) {
			meta.Name = "plain"
			tpl, err = tokenizer.Named(meta.Name, bos, eos)
		}
	case meta.Name == "model":
		tpl, err = tok.Template()
	default: // a built-in name, else a file
		if tpl, err = tokenizer.Named(meta.Name, bos, eos); err != nil {
			if source, readErr := os.ReadFile(meta.Name); readErr == nil {
				meta.Source = string(source)
				tpl, err = tokenizer.NewTemplate(meta.Source, bos, eos)
			}
		}
	}
	if err != nil {
		return nil, meta, fmt.Errorf("reward: chat template %q: %w", meta.Name, err)
	}
	meta.Hash = tpl.Hash()
	if saved.Hash != "" && meta.Name == saved.Name && meta.Hash != saved.Hash {
		return nil, meta, fmt.Errorf("reward: the chat template %q is not the one that the model was trained with: restore the tokenizer's files, or name another template", meta.Name)
	}
	return tpl, meta, nil
}

// newEncoder returns the model's encoder; unless the model is to be trained now, the options fall back on what it was
// trained with.
func newEncoder(tok *tokenizer.Tokenizer, tpl *tokenizer.Template, opt encode.Options, trained bool, meta *Meta) (*encode.Encoder, error) {
	if opt.MaxLength == 0 && !trained {
		opt.MaxLength = meta.MaxLength
	}
	if opt.Truncation == "" && !trained {
		opt.Truncation = meta.Truncation
	}
	enc, err := encode.New(tok, tpl, opt)
	if err != nil {
		return nil, fmt.Errorf("reward: %w", err)
	}
	meta.MaxLength, meta.Truncation = opt.MaxLength, opt.Truncation
	meta.EndToken, _, _ = tok.Special("eos_token")
	return enc, nil
}
