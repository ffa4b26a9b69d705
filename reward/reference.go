package reward

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"haf/encode"
	"haf/internal/durable"
	"haf/internal/wholefile"
	"haf/lm"
	"haf/mesh"
	"haf/pack"
	"haf/weights"
)

// A Reference returns the log-probabilities of the frozen model with which a policy is compared.
// They are computed once by the same packed pass, and stored on disk under the hash of (weights,
// dtype, backend) and of each response's tokens. So another seed, another objective, a resumed run
// or an evaluation reuses them.
type Reference struct {
	model *Model
	zeros map[string]*mesh.Array // in place of the adapter, to switch it off
	dir   string                 // of the cache; "" is none

	mu    sync.Mutex
	known map[responseKey]float32
}

type responseKey [16]byte

// recordSize is the size of one record of a cache file: the key and the float32 log-probability.
const recordSize = len(responseKey{}) + 4

// Reference returns the reference of the model: the base without the adapter, or for a fully
// trained model the model that training started from. cacheDir is the folder for the
// log-probabilities; "" keeps them in memory only.
func (m *Model) Reference(cacheDir string) (*Reference, error) {
	r := &Reference{model: m, known: map[responseKey]float32{}}
	hash, err := hashOf(m.Meta.Base)
	if err != nil {
		return nil, fmt.Errorf("reward: the reference of %s: %w", m.Dir, err)
	}
	if m.Meta.BaseHash != "" && m.Meta.BaseHash != hash {
		return nil, fmt.Errorf(
			"reward: %s is not the model that %s was trained from: its weights have changed", m.Meta.Base,
			m.Dir)
	}
	switch {
	case m.adapter != nil && !m.adapted:
		r.zeros = map[string]*mesh.Array{}
		for _, p := range m.params {
			if isAdapter(p.Name) {
				r.zeros[p.Name] = mesh.Zeros(m.device, p.Value.Shape())
			}
		}
	case m.Meta.Base == m.Dir || sameFolder(m.Meta.Base, m.Dir):
	default:
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.base == nil {
			base, err := Open(m.device, m.Meta.Base, Options{
				NoTokenizer: true, DType: m.Meta.DType, LogitChunk: m.chunk, Positions: m.positions,
			})
			if err != nil {
				return nil, fmt.Errorf("reward: the reference of %s: %w", m.Dir, err)
			}
			m.base = base
		}
		r.model = m.base
	}
	if cacheDir == "" {
		return r, nil
	}
	sum := sha256.Sum256(
		[]byte(strings.Join([]string{"haf reference 2", hash, m.Meta.DType, m.device.Kind()}, "\n")))
	r.dir = filepath.Join(cacheDir, hex.EncodeToString(sum[:12]))
	return r, r.readCache()
}

// BaseHash is the hash of the model that training starts from, as in haf.json and the manifest.
func BaseHash(dir string) (string, error) {
	dir, err := modelFolder(dir)
	if err != nil {
		return "", err
	}
	hash, err := hashOf(dir)
	if err != nil {
		return "", fmt.Errorf("reward: %w", err)
	}
	return hash, nil
}

// hashOf hashes what decides a model's values: the weights in a folder and their configuration.
func hashOf(dir string) (string, error) {
	config, err := lm.LoadConfig(dir)
	if err != nil {
		return "", err
	}
	ck, err := weights.Open(dir)
	if err != nil {
		return "", err
	}
	defer ck.Close()
	weights, err := ck.Hash()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(weights + "\n" + config.Hash()))
	return hex.EncodeToString(sum[:]), nil
}

func sameFolder(a, b string) bool {
	ia, errA := os.Stat(a)
	ib, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// arguments are the reference's weights as they are now.
func (r *Reference) arguments() []any {
	args := r.model.Arguments()
	for i, p := range r.model.params {
		if zero, ok := r.zeros[p.Name]; ok {
			args[i] = zero
		}
	}
	return args
}

// LogProbs returns the reference's summed log-probability of every response, and how many of them
// had to be computed. shapes and progress are as in [Model.Read].
func (r *Reference) LogProbs(
	ctx context.Context, groups []encode.Group, shapes []pack.Shape, progress func(done, total int),
) (logps [][]float64, made int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	// A response that stands in several groups is made once: made twice, in batches that differ, it
	// has two values a rounding apart, and which of them a later run finds would be chance.
	var missing []encode.Group
	planned := map[responseKey]bool{}
	for _, g := range groups {
		needed := false
		for _, response := range g.Responses {
			key := keyOf(g.Prompt, response)
			if _, ok := r.known[key]; !ok && !planned[key] {
				planned[key], needed = true, true
			}
		}
		if needed {
			missing = append(missing, g)
		}
	}
	// Kept a few batches at a time, so that an interrupted pass is not lost.
	const batches = 32
	fresh, since, done := map[responseKey]float32{}, 0, 0
	// Both heads are read, though one is wanted, because the program that reads both is needed anyway.
	err = r.model.each(ctx, missing, ScoreHead|PolicyHead, pack.Options{Positions: r.model.positions,
		Shapes: shapes}, r.arguments(), func(b *pack.Batch, of readings) error {
		for i, g := range b.Groups {
			for k, slot := range b.Slots[i] {
				key := keyOf(missing[g].Prompt, missing[g].Responses[k])
				if !planned[key] {
					continue
				}
				delete(planned, key)
				fresh[key] = of.logp[slot]
				made++
			}
		}
		if done += len(b.Groups); progress != nil {
			progress(done, len(missing))
		}
		if since++; since < batches && done < len(missing) {
			return nil
		}
		keep := fresh
		fresh, since = map[responseKey]float32{}, 0
		return r.keep(keep)
	})
	if err != nil {
		if ctx.Err() != nil && len(fresh) > 0 {
			err = errors.Join(err, r.keep(fresh)) // what an interrupted pass has made is not lost
		}
		return nil, made, fmt.Errorf("reward: reference log-probabilities: %w", err)
	}
	logps = make([][]float64, len(groups))
	for i, g := range groups {
		logps[i] = make([]float64, len(g.Responses))
		for k, response := range g.Responses {
			logps[i][k] = float64(r.known[keyOf(g.Prompt, response)])
		}
	}
	return logps, made, nil
}

// keyOf is the key of a response: the tokens of its conversation, and from which on they count.
func keyOf(prompt []int32, response encode.Response) responseKey {
	data := binary.LittleEndian.AppendUint32(nil, uint32(len(prompt)+response.Policy))
	for _, ids := range [][]int32{prompt, response.Tokens} {
		for _, id := range ids {
			data = binary.LittleEndian.AppendUint32(data, uint32(id))
		}
	}
	sum := sha256.Sum256(data)
	return responseKey(sum[:16])
}

// CacheSize returns the number of distinct responses of the groups, and the size of their
// log-probabilities in a cache, in bytes.
func CacheSize(sets ...[]encode.Group) (responses int, bytes int64) {
	seen := map[responseKey]bool{}
	for _, set := range sets {
		for _, g := range set {
			for _, response := range g.Responses {
				seen[keyOf(g.Prompt, response)] = true
			}
		}
	}
	return len(seen), int64(len(seen)) * int64(recordSize)
}

// keep remembers values and writes them as one more file of the cache. A cache that cannot be
// written is no reason to stop: it is said once.
func (r *Reference) keep(fresh map[responseKey]float32) error {
	var data []byte
	for _, key := range slices.SortedFunc(maps.Keys(fresh),
		func(a, b responseKey) int { return bytes.Compare(a[:], b[:]) }) {
		v := fresh[key]
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return fmt.Errorf(
				"reward: a reference log-probability is %v: the base model or its dtype is at fault", v)
		}
		r.known[key] = v
		data = append(data, key[:]...)
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	if r.dir == "" {
		return nil
	}
	sum := sha256.Sum256(data)
	err := durable.MkdirAll(r.dir)
	if err == nil {
		err = durable.WriteFile(filepath.Join(r.dir, hex.EncodeToString(sum[:8])+".logp"), data)
	}
	if err != nil {
		slog.Warn("reference log-probabilities are not cached", "error", err)
		r.dir = ""
	}
	return nil
}

// readCache loads the cache's files; one of a wrong size is left out, its values are recomputed.
func (r *Reference) readCache() error {
	files, err := os.ReadDir(r.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reward: reference cache: %w", err)
	}
	for _, f := range files {
		if filepath.Ext(f.Name()) != ".logp" {
			continue
		}
		data, err := wholefile.Read(filepath.Join(r.dir, f.Name()), wholefile.Records)
		if err != nil {
			return fmt.Errorf("reward: reference cache: %w", err)
		}
		sum := sha256.Sum256(data)
		if len(data)%recordSize != 0 || !strings.HasPrefix(f.Name(), hex.EncodeToString(sum[:8])) {
			slog.Warn("reference cache: a damaged file is left out", "file", f.Name())
			continue
		}
		for ; len(data) > 0; data = data[recordSize:] {
			r.known[responseKey(data[:16])] = math.Float32frombits(binary.LittleEndian.Uint32(data[16:]))
		}
	}
	return nil
}
