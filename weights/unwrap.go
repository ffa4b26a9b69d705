package weights

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Names that PyTorch's wrappers put into the path of every weight: torch.compile anywhere in it,
// DistributedDataParallel and DataParallel at its beginning.
const (
	compiledPart  = "_orig_mod"
	parallelPart  = "module."
	adapterPrefix = "base_model.model." // PEFT's, which may precede a wrapper's
)

// Stripped returns the prefixes removed from the tensors' names, such as "module.", or "".
func (c *Tensors) Stripped() string { return c.stripped }

// unwrap removes wrappers' prefixes from the names. It removes "_orig_mod." anywhere, because no
// model uses that name, and "module." if all tensors begin with it. If two tensors then have the
// same name, it closes the checkpoint and returns an error.
func (c *Tensors) unwrap() (*Tensors, error) {
	stored := c.names
	names := make([]string, len(stored))
	compiled := false
	for i, name := range stored {
		parts := strings.Split(name, ".")
		kept := slices.DeleteFunc(slices.Clone(parts),
			func(p string) bool { return p == compiledPart })
		compiled = compiled || len(kept) < len(parts)
		names[i] = strings.Join(kept, ".")
	}
	var parallel int
	for _, front := range []string{"", adapterPrefix} {
		for len(names) > 0 && allBegin(names, front+parallelPart) {
			for i, name := range names {
				names[i] = front + strings.TrimPrefix(name, front+parallelPart)
			}
			parallel++
		}
	}
	if !compiled && parallel == 0 {
		return c, nil
	}
	tensors := make(map[string]tensor, len(names))
	for i, name := range names {
		if first, ok := tensors[name]; ok {
			c.Close()
			return nil, fmt.Errorf("weights: %s: %q and another tensor are both %q without the "+
				"prefixes of "+
				"torch.compile and DistributedDataParallel: remove the one that is not meant",
				first.File, stored[i], name)
		}
		t := c.tensors[stored[i]]
		t.Name = name
		tensors[name] = t
	}
	if compiled {
		c.stripped = compiledPart + "."
	}
	c.stripped += strings.Repeat(parallelPart, parallel)
	c.tensors, c.names = tensors, slices.Sorted(maps.Keys(tensors))
	return c, nil
}

func allBegin(names []string, prefix string) bool {
	return !slices.ContainsFunc(names, func(name string) bool {
		return !strings.HasPrefix(name, prefix)
	})
}
