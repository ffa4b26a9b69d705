package recipe

import (
	"maps"
	"strings"

	"haf/backend"
)

// Mesh says how many devices of one host a run uses: data × shard in all. A run that was stopped
// may be resumed on another mesh.
type Mesh struct {
	// devices, or rows of devices, that divide each batch; every row holds all parameters
	Data int `range:"[1,4096]" toml:"data" json:"data"`
	// devices of a row; they divide parameters, gradients and moments
	Shard int `range:"[1,4096]" toml:"shard" json:"shard"`
}

// Devices returns the mesh for package backend.
func (m Mesh) Devices() backend.Mesh { return backend.Mesh{Data: m.Data, Shard: m.Shard} }

// With returns the recipe with overrides.
func (r *Recipe) With(sets []string) (*Recipe, error) {
	changed := *r
	changed.origin = map[string]string{}
	maps.Copy(changed.origin, r.origin)
	for _, set := range sets {
		if err := changed.Override(set); err != nil {
			return nil, err
		}
	}
	return &changed, changed.checkRanges()
}

// OnlyMesh reports whether all overrides are of keys that a resumed run may change.
func OnlyMesh(sets []string) bool {
	for _, set := range sets {
		if !strings.HasPrefix(strings.TrimSpace(set), "mesh.") {
			return false
		}
	}
	return true
}
