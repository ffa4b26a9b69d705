package train

import (
	"fmt"

	"haf/reward"
)

// weightBytes are the bytes of a model's weights, and those of its parts that one device holds.
func weightBytes(model *reward.Model) (whole, held int64) {
	for _, p := range model.Params() {
		whole, held = whole+p.Bytes(), held+model.PartBytes(p)
	}
	return whole, held
}

// checkMesh returns an error if the devices of a row cannot divide the bulk of the weights: if one
// holds twice its share or more.
func checkMesh(model *reward.Model) error {
	shard := int64(model.Mesh().Shard)
	whole, held := weightBytes(model)
	if shard > 1 && held*shard >= 2*whole {
		return fmt.Errorf("train: mesh.shard is %d, but few dimensions of the weights of %s are "+
			"multiples of it, so a device would hold %.0f %% of them: want a divisor of the hidden size, "+
			"%d", shard, model.Dir, 100*float64(held)/float64(whole), model.Config.Hidden)
	}
	return nil
}

// reportMesh says what the devices of a mesh divide.
func (t *trainer) reportMesh() {
	m := t.model.Mesh()
	if m.Devices() == 1 {
		return
	}
	whole, held := weightBytes(t.model)
	var batches, even int
	for step := range t.order.steps() {
		for _, batch := range step {
			shape := t.order.packing.Shapes[t.order.packing.Batches[batch].Shape]
			batches++
			if batchParts(m, shape) == m.Devices() {
				even++
			}
		}
	}
	t.progress.Logf("mesh: %d × %d devices; each holds %.1f %% of the weights; they divide the rows "+
		"of %d of %d packed batches evenly", m.Data, m.Shard, 100*float64(held)/float64(whole), even,
		batches)
}
