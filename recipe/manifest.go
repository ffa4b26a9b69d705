package recipe

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"haf/pref"
	"haf/reward"
	"haf/run"
)

// A Manifest is a run's manifest with its recipe.
type Manifest struct{ run.Manifest[*Recipe] }

// NewManifest describes a run that is about to start.
func (r *Recipe) NewManifest(model *reward.Model, report []string) (*Manifest, error) {
	absolute, err := r.absolute()
	if err != nil {
		return nil, err
	}
	absolute.Model.Date = model.Meta.Template.Date // the run's, whenever it is resumed
	m := &Manifest{run.Manifest[*Recipe]{
		Format: run.ManifestFormat, Created: time.Now().UTC().Truncate(time.Second),
		Recipe: absolute, Hub: r.sources, Origin: map[string]string{}, Versions: Versions(),
		Device: model.Device().Describe(), Base: model.Meta.Base, BaseHash: model.Meta.BaseHash,
		Encoder: model.Encoder.Hash(), Report: report,
	}}
	for _, key := range Keys() {
		m.Origin[key] = "default"
		if from, ok := r.origin[key]; ok {
			m.Origin[key] = from
		}
	}
	if m.Data, err = r.DataHashes(); err != nil {
		return nil, err
	}
	m.Fingerprint, err = m.fingerprint()
	return m, err
}

// DataHashes returns the hashes of the data as it is on disk now.
func (r *Recipe) DataHashes() (hashes []run.DataFile, err error) {
	absolute, err := r.absolute()
	if err != nil {
		return nil, err
	}
	for _, path := range slices.Concat(absolute.Data.Train, absolute.Data.Valid) {
		sum, err := pref.Hash(path)
		if err != nil {
			return nil, fmt.Errorf("recipe: %w", err)
		}
		hashes = append(hashes, run.DataFile{Path: path, SHA256: sum})
	}
	return hashes, nil
}

// BaseHashes are a manifest's hashes of the base model, which must be on disk, and of everything
// that decides its tokens.
func (r *Recipe) BaseHashes() (base, encoder string, err error) {
	if base, err = reward.BaseHash(r.Model.Path); err != nil {
		return "", "", err
	}
	model, err := reward.OpenWithoutWeights(r.Model.Path, r.ModelOptions())
	if err != nil {
		return "", "", err
	}
	defer model.Close()
	return base, model.Encoder.Hash(), nil
}

// ReadManifest reads the manifest of a run that may be resumed.
func ReadManifest(dir string) (*Manifest, error) {
	// A key that is younger than the run has its default.
	read, err := run.ReadManifest(dir, Default())
	if err != nil {
		return nil, err
	}
	if read.Recipe == nil || read.Recipe.Model.Path == "" {
		return nil, fmt.Errorf("recipe: %s names no base model (model.path): the file is damaged; "+
			"train into a new folder", filepath.Join(dir, run.ManifestName))
	}
	read.Recipe.sources = read.Hub
	return &Manifest{*read}, nil
}

// SameRun reports whether a run may resume the stopped one: settings, base, tokens and data must be
// the same, but may be in other places.
func (m *Manifest) SameRun(stopped *Manifest) (bool, error) {
	// The stored fingerprint may be of an earlier rule, so it is computed anew.
	was, err := stopped.fingerprint()
	if err != nil {
		return false, err
	}
	is, err := m.fingerprint()
	return was == is, err
}

// fingerprint identifies what a resumed run must have in common with the one that was stopped. It
// has the files' hashes in it and not their paths, so that they may be moved.
func (m *Manifest) fingerprint() (string, error) {
	settings := *m.Recipe
	settings.Tracking = Tracking{} // who watches a run does not change it
	settings.Mesh = Mesh{}         // nor what it runs on
	settings.Model.Path, settings.Model.Template, settings.RLHF.Critic = "", "", ""
	settings.RLHF.Rewards = slices.Clone(settings.RLHF.Rewards)
	for i := range settings.RLHF.Rewards {
		settings.RLHF.Rewards[i].Source = ""
	}
	settings.Data.Train, settings.Data.Valid = make([]string, len(m.Recipe.Data.Train)),
		make([]string, len(m.Recipe.Data.Valid))
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

// Versions lists the versions of Go and of the program's modules.
func Versions() map[string]string {
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
