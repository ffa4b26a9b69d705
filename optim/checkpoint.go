package optim

import (
	"fmt"
	"path/filepath"

	"github.com/gomlx/compute/dtypes"

	"haf/mesh"
	"haf/weights"
)

// Files of a checkpoint.
const (
	WeightsName = "trained.safetensors" // the trained weights, float32
	momentsName = "moments.safetensors" // of the optimizer, with the prefixes "m." and "v."
)

// Save writes the trained weights and their moments into a folder.
func (o *Optimizer) Save(dir string) error {
	if err := o.SaveWeights(dir); err != nil {
		return err
	}
	return o.SaveTables(filepath.Join(dir, momentsName), o.moments())
}

// Load replaces the weights and moments by those that [Optimizer.Save] wrote to a folder.
func (o *Optimizer) Load(dir string) error {
	if err := o.LoadWeights(dir); err != nil {
		return err
	}
	return o.LoadTables(filepath.Join(dir, momentsName), o.moments())
}

// SaveWeights writes the trained weights alone into a folder.
func (o *Optimizer) SaveWeights(dir string) error {
	sources := make([]weights.LazyArray, len(o.params))
	for i, p := range o.params {
		sources[i] = p.Source()
	}
	return weights.WriteFile(filepath.Join(dir, WeightsName), sources, weights.WriteOptions{})
}

// LoadWeights puts the trained weights saved in dir into the model.
func (o *Optimizer) LoadWeights(dir string) error {
	ck, err := weights.OpenFile(filepath.Join(dir, WeightsName))
	if err != nil {
		return fmt.Errorf("optim: %w", err)
	}
	defer ck.Close()
	for _, p := range o.params {
		if p.Value.DType() != dtypes.Float32 {
			return fmt.Errorf("optim: %s is trained in %s, want float32", p.Name, p.Value.DType())
		}
		a, err := ck.ReadShape(p.Name, p.Shape...)
		if err != nil {
			return fmt.Errorf("optim: %w", err)
		}
		if err := o.model.Set(p, a); err != nil {
			return fmt.Errorf("optim: %w", err)
		}
	}
	return nil
}

// moments returns the optimizer's moments by the prefix of their names in a checkpoint.
func (o *Optimizer) moments() map[string][]*mesh.Array {
	return map[string][]*mesh.Array{"m.": o.m, "v.": o.v}
}

// SaveTables writes lists of arrays, each in the order of the trained weights. An array's name is
// the list's prefix and the weight's name.
func (o *Optimizer) SaveTables(path string, tables map[string][]*mesh.Array) error {
	var sources []weights.LazyArray
	for i, p := range o.params {
		for prefix, list := range tables {
			sources = append(sources, weights.LazyArray{
				Name: prefix + p.Name, Shape: p.Shape,
				Values: list[i].Floats,
			})
		}
	}
	return weights.WriteFile(path, sources, weights.WriteOptions{})
}

// LoadTables replaces the arrays by those that [Optimizer.SaveTables] wrote.
func (o *Optimizer) LoadTables(path string, tables map[string][]*mesh.Array) error {
	ck, err := weights.OpenFile(path)
	if err != nil {
		return fmt.Errorf("optim: checkpoint: %w", err)
	}
	defer ck.Close()
	for i, p := range o.params {
		for prefix, list := range tables {
			a, err := ck.ReadShape(prefix+p.Name, p.Shape...)
			if err != nil {
				return fmt.Errorf("optim: checkpoint: %w", err)
			}
			loaded, err := mesh.Put(o.model.Device(), dtypes.Float32, a.Shape, a.Data)
			if err != nil {
				return fmt.Errorf("optim: checkpoint: %w", err)
			}
			list[i].MustFree()
			list[i] = loaded
		}
	}
	return nil
}
