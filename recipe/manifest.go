package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"haf/reward"
	"haf/train"
)

// A Manifest is a run's manifest.json: all that is needed to know what was done, and to go on with it.
type Manifest struct {
	Format      int               `json:"format"`
	Verb        string            `json:"verb,omitempty"` // what goes on with it: "" is haf train, else VerbRLHF
	Created     time.Time         `json:"created"`
	Recipe      *Recipe           `json:"recipe"` // its paths absolute
	Origin      map[string]string `json:"origin"` // of each key: "default", "file" or "set"
	Versions    map[string]string `json:"versions"`
	Device      string            `json:"device"`
	Base        string            `json:"base"` // folder of the base model
	BaseHash    string            `json:"base_hash"`
	Encoder     string            `json:"encoder_hash"` // of tokenizer, template, length limit and truncation
	Data        []DataFile        `json:"data"`
	Models      []ModelFile       `json:"models,omitempty"` // reward model and critic of haf rlhf
	Hub         []Source          `json:"hub,omitempty"`    // what was fetched, and at which commit
	Report      []string          `json:"report"`           // what was read, kept, truncated, dropped
	Fingerprint string            `json:"fingerprint"`      // of recipe, base, tokens and data
}

// manifestFormat is the number of the form of [Manifest]; another is refused.
const manifestFormat = 2

// A DataFile is a preference file and the hash of its bytes.
type DataFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// A ModelFile is a model that a run reads: a folder or file and the hash of its bytes or, in the place of a hash, the address of a server
// and what it serves there. Whether a server's model is the same as before, only the server knows.
type ModelFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256,omitempty"`
	Served string `json:"served,omitempty"` // the reward and the server's name of the model
}

// NewManifest describes a run that is about to start.
func (r *Recipe) NewManifest(model *reward.Model, report []string) (*Manifest, error) {
	absolute, err := r.absolute()
	if err != nil {
		return nil, err
	}
	absolute.Model.Date = model.Meta.Template.Date // the run's, whenever it is resumed
	m := &Manifest{
		Format: manifestFormat, Created: time.Now().UTC().Truncate(time.Second), Recipe: absolute, Hub: r.sources, Origin: map[string]string{}, Versions: versions(),
		Device: model.Device().Describe(), Base: model.Meta.Base, BaseHash: model.Meta.BaseHash, Encoder: model.Encoder.Hash(), Report: report,
	}
	for _, key := range Keys() {
		m.Origin[key] = "default"
		if from, ok := r.origin[key]; ok {
			m.Origin[key] = from
		}
	}
	for _, path := range slices.Concat(absolute.Data.Train, absolute.Data.Valid) {
		sum, err := hashFile(path)
		if err != nil {
			return nil, err
		}
		m.Data = append(m.Data, DataFile{path, sum})
	}
	m.Fingerprint, err = m.fingerprint()
	return m, err
}

// BaseHashes are what a manifest says of the base model, which must be on disk, and of how text becomes its tokens.
func (r *Recipe) BaseHashes() (base, encoder string, err error) {
	if base, err = reward.BaseHash(r.Model.Path); err != nil {
		return "", "", err
	}
	model, err := reward.Outline(r.Model.Path, r.ModelOptions())
	if err != nil {
		return "", "", err
	}
	defer model.Close()
	return base, model.Encoder.Hash(), nil
}

// ReadManifest reads a run folder's manifest.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, train.ManifestName)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("recipe: %s is no run folder: %w", dir, err)
	}
	m := &Manifest{Recipe: Default()} // a key that is younger than the run has its default
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("recipe: %s: %w", path, err)
	}
	switch {
	case m.Format < manifestFormat:
		return nil, fmt.Errorf("recipe: %s: format %d, want %d: the run was started by an earlier haf, which made other tokens of conversations: train into a new folder", path, m.Format, manifestFormat)
	case m.Format > manifestFormat || m.Recipe == nil || m.Recipe.Model.Path == "":
		return nil, fmt.Errorf("recipe: %s: format %d, want %d: use the haf that started the run", path, m.Format, manifestFormat)
	}
	return m, nil
}

// SameRun says whether a run may go on as the one that was stopped: with the same settings, base, tokens and data,
// wherever they lie now.
func (m *Manifest) SameRun(stopped *Manifest) (bool, error) {
	// What is stored may have been made by an earlier rule, so it is made anew.
	was, err := stopped.fingerprint()
	if err != nil {
		return false, err
	}
	is, err := m.fingerprint()
	return was == is, err
}

// fingerprint is what a run that goes on must have in common with the one that was stopped. Hashes stand in it for the
// files, so their paths do not.
func (m *Manifest) fingerprint() (string, error) {
	settings := *m.Recipe
	settings.Model.Path, settings.Model.Template, settings.RLHF.Reward, settings.RLHF.Critic = "", "", "", ""
	settings.Data.Train, settings.Data.Valid = make([]string, len(m.Recipe.Data.Train)), make([]string, len(m.Recipe.Data.Valid))
	recipe, err := json.Marshal(settings)
	if err != nil {
		return "", fmt.Errorf("recipe: %w", err)
	}
	h := sha256.New()
	h.Write(recipe)
	fmt.Fprintln(h, m.BaseHash, m.Encoder)
	for _, d := range m.Data {
		fmt.Fprintln(h, d.SHA256)
	}
	for _, d := range m.Models {
		fmt.Fprintln(h, d.SHA256+d.Served)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("recipe: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("recipe: %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// versions lists what the program was built of.
func versions() map[string]string {
	out := map[string]string{"go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return out
	}
	out["haf"] = info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			out["revision"] = setting.Value
		}
	}
	for _, dep := range info.Deps {
		if strings.HasPrefix(dep.Path, "github.com/gomlx/") {
			out[strings.TrimPrefix(dep.Path, "github.com/gomlx/")] = dep.Version
		}
	}
	return out
}
