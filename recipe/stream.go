package recipe

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
)

// StreamSeed derives the seed of a named random stream from the recipe's one seed, so that a
// stream's numbers do not depend on draws from other streams.
func StreamSeed(seed uint64, name string) uint64 {
	data := binary.LittleEndian.AppendUint64(nil, seed)
	sum := sha256.Sum256(append(data, name...))
	return binary.LittleEndian.Uint64(sum[:])
}

// Stream returns the named random stream.
func Stream(seed uint64, name string) *rand.Rand {
	return rand.New(rand.NewPCG(StreamSeed(seed, name), 0))
}
