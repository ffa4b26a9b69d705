package train

import (
	"fmt"
	"math/rand/v2"

	"github.com/gomlx/gomlx/core/tensors"
)

// Dropout leaves out a share of the hidden states' values before the score head while it is trained
// (Srivastava et al., JMLR 2014). The choice depends on the seed, the step and the packed batch
// alone, so a resumed run leaves out the same values.
type Dropout struct {
	Rate float64 // 0 is none
	Seed uint64
}

func (d Dropout) check() error {
	if !(d.Rate >= 0 && d.Rate < 1) {
		return fmt.Errorf("train: head dropout is %g, want a share from 0 to below 1", d.Rate)
	}
	return nil
}

// mask is [slots, hidden]: 0 where a value is left out, 1/(1 − rate) elsewhere.
func (d Dropout) mask(step, batch, slots, hidden int) *tensors.Tensor {
	random := rand.New(rand.NewPCG(d.Seed, uint64(step)<<20|uint64(batch)))
	kept := float32(1 / (1 - d.Rate))
	flat := make([]float32, slots*hidden)
	for i := range flat {
		if random.Float64() >= d.Rate {
			flat[i] = kept
		}
	}
	return tensors.FromFlatDataAndDimensions(flat, slots, hidden)
}
