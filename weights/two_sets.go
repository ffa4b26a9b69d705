package weights

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrTwoSets is wrapped by the error for a folder with two different sets of weights.
var ErrTwoSets = errors.New("two sets of weights")

// checkIndex returns an error if a folder with model.safetensors also has an index of other
// weights. An index whose files are gone is ignored.
func (c *Tensors) checkIndex(dir string) error {
	shards, err := readIndex(filepath.Join(dir, indexFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("weights: %s: %w", filepath.Join(dir, indexFile), err)
	}
	there := false
	for file := range shards {
		_, err := os.Stat(filepath.Join(dir, file))
		there = there || err == nil && file != singleFile
	}
	if !there {
		return nil
	}
	var difference string
	second, err := openShards(dir, shards)
	if err != nil {
		difference = err.Error()
	} else {
		defer second.Close()
		if difference, err = c.difference(second); err != nil {
			return err
		}
	}
	if difference == "" {
		return nil
	}
	return fmt.Errorf("weights: %s: %w: %s and the files of %s differ (%s). transformers reads %s. "+
		"Delete %s to "+
		"use the shards, or delete %s and its shards to use the one file", dir, ErrTwoSets,
		singleFile,
		indexFile, difference, singleFile, singleFile, indexFile)
}

// difference names a difference of the second set; "" means the same weights.
func (c *Tensors) difference(second *Tensors) (string, error) {
	lacks := func(a, b *Tensors) []string {
		return slices.DeleteFunc(a.Names(), func(name string) bool {
			_, ok := b.tensors[name]
			return ok
		})
	}
	for _, side := range []struct {
		file    string
		missing []string
	}{{indexFile, lacks(c, second)}, {singleFile, lacks(second, c)}} {
		if n := len(side.missing); n > 0 {
			return fmt.Sprintf("%s lacks %s", side.file, strings.Join(firstOf(side.missing, 3), ", ")), nil
		}
	}
	for _, name := range c.names {
		same, err := c.SameValues(name, second, name)
		if err != nil {
			return "", err
		}
		if !same {
			return name + " has other values", nil
		}
	}
	return "", nil
}

// firstOf returns the first n names, and the number of the others.
func firstOf(names []string, n int) []string {
	if len(names) <= n {
		return names
	}
	return append(slices.Clone(names[:n]), fmt.Sprintf("and %d more", len(names)-n))
}
