package main

import (
	"fmt"

	"haf/eval"
	"haf/pref"
)

// matrixOutput is what -json prints of a matrix.
type matrixOutput struct {
	Read   map[string]string `json:"read"`
	Matrix eval.Matrix       `json:"matrix"`
}

// runMatrix evaluates every model on every data file.
func (c *evalCmd) runMatrix(a *app) error {
	out := matrixOutput{Read: map[string]string{}}
	var sets [][]pref.Group
	for _, path := range c.Data {
		paths, err := a.data([]string{path})
		if err != nil {
			return err
		}
		groups, counts, err := pref.Load(paths, c.options())
		if err != nil {
			return err
		}
		a.p.Logf("data: %s: %s", path, counts)
		out.Read[path] = counts.String()
		sets = append(sets, groups)
	}
	var rows []string
	var readings [][]eval.Reading
	for _, named := range c.Models {
		r, err := c.openModels(a, []string{named})
		if err != nil {
			return fmt.Errorf("%s: %w", named, err)
		}
		of, err := c.readSets(a, named, r, sets)
		if err = closed(r, err); err != nil {
			return fmt.Errorf("%s: %w", named, err)
		}
		for _, name := range of[0].Names {
			row := make([]eval.Reading, len(sets))
			for j, r := range of {
				row[j] = eval.ReadingOf(r, name)
			}
			rows, readings = append(rows, named+" "+name), append(readings, row)
		}
	}
	var err error
	if out.Matrix, err = eval.NewMatrix(rows, eval.ShortNames(c.Data), readings); err != nil {
		return err
	}
	return a.print(out, out.Matrix.Write)
}

// readSets reads one model's rewards on every set.
func (c *evalCmd) readSets(
	a *app, named string, r pref.Rewarder, sets [][]pref.Group,
) ([]pref.Readings, error) {
	var out []pref.Readings
	for j, groups := range sets {
		a.p.Logf("model: %s on %s", named, c.Data[j])
		read, err := r.Read(a.ctx, groups, c.Rewards)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Data[j], err)
		}
		out = append(out, read)
	}
	return out, nil
}
