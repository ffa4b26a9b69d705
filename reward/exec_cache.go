package reward

import (
	"encoding/json"
	"sync"

	"haf/backend"
	"haf/mesh"
	"haf/pack"
)

// An execCache holds the compiled programs that read a model's heads. Weights are their arguments,
// so models that differ in nothing else share them.
type execCache struct {
	mu      sync.Mutex // one program runs at a time
	readers map[Heads]*mesh.Exec
	built   int    // programs compiled
	users   int    // models
	model   *Model // the last of them: programs are built by its structure
	// compiled has the programKey of every program that has run. It has a lock of its own, because mu
	// is held while one runs.
	compiled sync.Map
}

// programKey tells compiled programs apart.
type programKey struct {
	want  Heads
	shape pack.Shape
}

// has reports whether the program for batches of the shape is compiled.
func (p *execCache) has(want Heads, shape pack.Shape) bool {
	if p == nil {
		return false
	}
	_, ok := p.compiled.Load(programKey{want, shape})
	return ok
}

func newExecCache() *execCache {
	return &execCache{readers: map[Heads]*mesh.Exec{}, users: 1}
}

// Finalize ends the use of a device that kept the programs.
func (p *execCache) Finalize() { p.release() }

// share takes the programs that the device keeps for models of the same structure, where it keeps
// any. It is called whenever the structure has changed.
func (m *Model) share() {
	if m.withoutWeights() {
		return
	}
	kept, ok := backend.Keep(m.device, "heads "+m.Structure(), newExecCache)
	if !ok || kept == m.programs {
		return
	}
	kept.mu.Lock()
	kept.users++
	m.builtBefore = kept.built
	kept.mu.Unlock()
	m.programs.release()
	m.programs = kept
}

// release ends a model's use; the last one frees the programs.
func (p *execCache) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users > 0 {
		return
	}
	for _, exec := range p.readers {
		exec.Finalize()
	}
	p.readers = map[Heads]*mesh.Exec{}
	p.compiled.Clear()
}

// Structure identifies everything that a model's programs depend on. Two models of one structure on
// one device can share programs.
func (m *Model) Structure() string {
	type param struct {
		Name  string
		Shape string
	}
	var params []param
	for _, p := range m.params {
		params = append(params, param{p.Name, p.Value.Shape().String()})
	}
	key, err := json.Marshal(struct {
		Config    string
		Tied      bool
		DType     string
		LoRA      any
		Head      int
		Offset    float64
		Chunk     int
		Recompute any
		Params    []param
	}{m.Config.Hash(), m.Config.TiedEmbeddings, m.Meta.DType, m.adapter, m.headLayers,
		m.Meta.ScoreOffset, m.chunk, m.decoder.Recompute, params})
	if err != nil {
		panic(err) // names and numbers
	}
	return string(key)
}

// adopt takes over the programs of another model, and its base's for those of the base, where they
// are the same; it says whether all are. Compiling them again would cost time beside requests, and
// memory that XLA does not give back.
func (m *Model) adopt(other *Model) bool {
	if m.Structure() != other.Structure() || m.device != other.device ||
		(m.base == nil) != (other.base == nil) {
		return false
	}
	if m.base != nil && !m.base.adopt(other.base) {
		return false
	}
	other.programs.mu.Lock()
	if other.programs.users == 0 { // closed meanwhile
		other.programs.mu.Unlock()
		return false
	}
	other.programs.users++
	other.programs.model = m
	other.programs.mu.Unlock()
	m.programs.release()
	m.programs = other.programs
	return true
}
