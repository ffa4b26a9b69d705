package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"haf/internal/wholefile"
	"haf/objective"
	"haf/weights"
)

// MetaName is the file of a model folder for facts that a Hugging Face folder cannot state:
// docs/reference/model-formats.md.
const MetaName = "haf.json"

// metaFormat is the number of the form of [Meta]; another is refused. Format 1 read rewards at
// other tokens, format 2 had other names of the objective's settings.
const metaFormat = 3

// Meta records how a reward model was trained, so that it is used in the same way everywhere.
type Meta struct {
	Format int `json:"format"`
	// the model that training started from: the reference of the implicit reward
	Base     string       `json:"base"`
	BaseHash string       `json:"base_hash"` // over the base's weights
	Template TemplateMeta `json:"template"`  // how a conversation becomes text
	// where the reward is read: encode.ReadLast or encode.ReadEnd
	Read string `json:"read"`
	// how many BOS tokens open a conversation: encode.BOSTemplate, …
	BOS string `json:"bos"`
	// Pad is the padding token, at which no reward is read; −1 is none, and nil means that of
	// config.json. It is stated because an adapter has no config.json.
	Pad        *int             `json:"pad_token_id"`
	MaxLength  int              `json:"max_length"` // of a conversation, in tokens; 0 is no limit
	Truncation string           `json:"truncation"` // treatment of a longer one
	Objective  objective.Hybrid `json:"objective"`  // the objective of training
	DType      string           `json:"dtype"`      // of the body
	Heads      []string         `json:"heads"`      // the trained ones: "score", "policy"
	// ScoreOffset is added to the score head's output: the bias of the model's source.
	ScoreOffset float64 `json:"score_offset,omitempty"`
	// Labels names the outputs of a score head with several: see Options.Column.
	Labels []string `json:"labels,omitempty"`
	// WeightsCRC32C are the CRC-32C of the weights, by file name; see [Open].
	WeightsCRC32C map[string]string `json:"weights_crc32c,omitempty"`
}

// Trained reports whether haf trained the model.
func (m Meta) Trained() bool { return len(m.Heads) > 0 }

// TemplateMeta names a chat template: "model" is the model's own, others are built in, or Source
// has the whole text.
type TemplateMeta struct {
	Name   string                     `json:"name"`
	Source string                     `json:"source,omitempty"`
	Args   map[string]json.RawMessage `json:"args,omitempty"` // variables of every rendering
	// day of strftime_now, YYYY-MM-DD, if the template writes one
	Date string `json:"date,omitempty"`
	Hash string `json:"hash"`
}

// readMeta returns the folder's haf.json; a folder without one has the zero Meta.
func readMeta(dir string) (Meta, error) {
	var meta Meta
	if weights.IsGGUF(dir) {
		return meta, nil
	}
	path := filepath.Join(dir, MetaName)
	data, err := wholefile.Read(path, wholefile.Settings)
	if errors.Is(err, fs.ErrNotExist) {
		return meta, nil
	}
	if err != nil {
		return meta, fmt.Errorf("reward: %w", err)
	}
	if err := wholefile.Unmarshal(data, &meta); err != nil {
		return meta, fmt.Errorf("reward: %s: %w", path, err)
	}
	switch {
	case meta.Format > metaFormat:
		return meta, fmt.Errorf(
			"reward: %s: format %d is newer than this program reads (%d): use a newer haf", path,
			meta.Format, metaFormat)
	case meta.Format < metaFormat:
		return meta, fmt.Errorf("reward: %s: format %d, want %d: the model was trained by an earlier "+
			"haf, whose settings have other names or meanings: train it again, or remove this file to "+
			"open the folder as any other program's model", path, meta.Format, metaFormat)
	case meta.MaxLength < 0 || meta.MaxLength == 1:
		return meta, fmt.Errorf("reward: %s: max_length is %d, want 2 or more, or 0 for no limit", path,
			meta.MaxLength)
	}
	return meta, nil
}
