package pref

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// AddNoise flips every comparison of the groups with the given probability, 0 to 1, and returns how
// many it flipped: label noise of a known rate. The draw depends on the group's content and the
// seed alone, so another order of the files, or a subset, has the same noise. Margins do not
// change.
func AddNoise(groups []Group, probability float64, seed uint64) (flipped int) {
	for i := range groups {
		flipped += addNoise(&groups[i], probability, seed)
	}
	return flipped
}

func addNoise(g *Group, probability float64, seed uint64) (flipped int) {
	if probability == 0 {
		return 0
	}
	content := g.digest()
	comparisons := slices.Clone(g.Comparisons)
	for i := range comparisons {
		b := appendText(binary.LittleEndian.AppendUint64(nil, seed), "noise")
		b = binary.LittleEndian.AppendUint64(append(b, content[:]...), uint64(i))
		sum := sha256.Sum256(b)
		// 53 bits: a number from 0 to below 1.
		if float64(binary.LittleEndian.Uint64(sum[:])>>11)/(1<<53) < probability {
			c := &comparisons[i]
			c.Chosen, c.Rejected = c.Rejected, c.Chosen
			flipped++
		}
	}
	g.Comparisons = comparisons
	return flipped
}
