package reward

import (
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"haf/internal/wholefile"
)

// castagnoli is the CRC-32C table; CPUs have an instruction for it, so that a check costs
// little beside reading the file.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// weightSums returns the CRC-32C of every safetensors file of a folder, as eight hex digits.
func weightSums(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	sums := map[string]string{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".safetensors" {
			continue
		}
		if sums[e.Name()], err = weightSum(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

func weightSum(path string) (string, error) {
	f, err := wholefile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return fmt.Sprintf("%08x", sum.Sum32()), nil
}

// checkWeights compares the weights of a folder with the checksums that haf wrote with them. A
// folder that another program wrote has none.
func (m *Meta) checkWeights(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(m.WeightsCRC32C)) {
		path := filepath.Join(dir, filepath.Base(name))
		sum, err := weightSum(path)
		if err != nil {
			return fmt.Errorf("reward: %s lists the weights %s: %w", MetaName, name, err)
		}
		if want := m.WeightsCRC32C[name]; sum != want {
			return fmt.Errorf("reward: %s is damaged or was changed: its CRC-32C is %s, and haf wrote %s: "+
				"copy it again; if you changed it on purpose, remove weights_crc32c from %s",
				path, sum, want, filepath.Join(dir, MetaName))
		}
	}
	return nil
}
