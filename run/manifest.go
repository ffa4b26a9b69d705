package run

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"haf/hub"
	"haf/internal/wholefile"
)

// A Verb is the command that made a run.
type Verb string

// The verbs that make runs.
const (
	VerbTrain Verb = "" // as manifests name it
	VerbRLHF  Verb = "rlhf"
)

// Command is the command as a user types it.
func (v Verb) Command() string {
	if v == VerbTrain {
		return "haf train"
	}
	return "haf " + string(v)
}

// A Manifest is a run's manifest.json: a complete record of the run's inputs, from which it can be
// resumed. R is the type that the recipe is decoded into.
type Manifest[R any] struct {
	Format      int               `json:"format"`
	Verb        Verb              `json:"verb,omitempty"`
	Created     time.Time         `json:"created"`
	Recipe      R                 `json:"recipe"` // with absolute paths
	Origin      map[string]string `json:"origin"` // of each key: "default", "file" or "set"
	Versions    map[string]string `json:"versions"`
	Device      string            `json:"device"`
	Base        string            `json:"base"` // folder of the base model
	BaseHash    string            `json:"base_hash"`
	Encoder     string            `json:"encoder_hash"` // see encode.Encoder.Hash
	Data        []DataFile        `json:"data"`
	Models      []ModelFile       `json:"models,omitempty"` // reward model and critic of haf rlhf
	Hub         []FetchedValue    `json:"hub,omitempty"`    // files from the hub, with their commits
	Report      []string          `json:"report"`           // rows read, kept, truncated, dropped
	Fingerprint string            `json:"fingerprint"`      // of recipe, base, tokens and data
}

// ManifestFormat is the format number of a run folder: of its [Manifest] with the recipe, and of
// the records of metrics.jsonl. Format 1 had other tokens for conversations, format 2 other names
// of recipe keys and metrics.
const ManifestFormat = 3

// A DataFile is data as the recipe names it, one file or several, and its [haf/pref.Hash].
type DataFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// A ModelFile is a model that a run reads: a folder or file with the hash of its bytes, or the
// address of a server and the model that it serves. haf cannot tell whether a server's model has
// changed.
type ModelFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"`
	Served string `json:"served,omitempty"` // the reward and the server's name of the model
}

// A FetchedValue is a value of a recipe that was an id on the hub, and its local path.
type FetchedValue struct {
	Key string `json:"key"` // such as model.path or data.train
	hub.Found
}

// ReadManifest reads the manifest of the run in dir and decodes its recipe over the one given.
// Without a manifest the error wraps fs.ErrNotExist. It refuses a folder of another format.
func ReadManifest[R any](dir string, recipe R) (*Manifest[R], error) {
	path := filepath.Join(dir, ManifestName)
	data, err := readFile(dir, ManifestName, wholefile.Settings)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("run: %s is no run folder: %w", dir, err)
	case err != nil:
		return nil, fmt.Errorf("run: %w", err)
	}
	if err := checkFormat(path, data); err != nil {
		return nil, err
	}
	m := &Manifest[R]{Recipe: recipe}
	if err := wholefile.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("run: %s: %w", path, err)
	}
	return m, nil
}

// checkFormat returns an error if the manifest's format differs from [ManifestFormat].
func checkFormat(path string, data []byte) error {
	var m struct{ Format int }
	if err := wholefile.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("run: %s: %w", path, err)
	}
	switch {
	case m.Format < ManifestFormat:
		return fmt.Errorf("run: %s: format %d, want %d: an earlier haf made this run, with other "+
			"names of recipe keys and metrics: use that haf to resume or report it, "+
			"or train into a new folder",
			path, m.Format, ManifestFormat)
	case m.Format > ManifestFormat:
		return fmt.Errorf("run: %s: format %d, want %d: a later haf made this run: use that haf",
			path, m.Format, ManifestFormat)
	}
	return nil
}

// readVerb returns the verb of the run in dir.
func readVerb(dir string) (Verb, error) {
	m, err := ReadManifest[any](dir, nil)
	if err != nil {
		return "", err
	}
	return m.Verb, nil
}
