package lm

import (
	"fmt"
	"slices"
)

// The values of layer_types.
const (
	slidingLayer = "sliding_attention"
	fullLayer    = "full_attention"
)

// windowed reports whether a layer sees only the last Window positions.
func (c *Config) windowed(layer int) bool {
	if c.Window == 0 {
		return false
	}
	if c.Windowed != nil {
		return c.Windowed[layer]
	}
	return c.family().windows.at(layer, c.family().windows.period())
}

// period is what the pattern counts by where config.json does not say it: transformers' default.
func (p windowPattern) period() int {
	switch p {
	case lateWindowed:
		return 28
	case evenWindowed:
		return 2
	case mostWindowed:
		return 6
	}
	return 0
}

// at reports whether a layer has the window; n is the first windowed layer or the length of the
// repeating pattern.
func (p windowPattern) at(layer, n int) bool {
	switch p {
	case allWindowed:
		return true
	case lateWindowed:
		return layer >= n
	case evenWindowed, mostWindowed:
		return (layer+1)%n != 0
	}
	return false
}

// parseWindows reads which layers have the window: layer_types where it is given, else the family's
// pattern. Windowed stays nil where it would be the family's own.
func (c *Config) parseWindows(f *fields, fam *family) {
	n, use := fam.windows.period(), true
	switch fam.windows {
	case neverWindowed:
		c.Window = 0
		return
	case lateWindowed:
		use = false
		f.value("use_sliding_window", &use)
		f.value("max_window_layers", &n)
	case mostWindowed:
		f.value("sliding_window_pattern", &n)
	}
	if !use {
		c.Window = 0
	}
	var types []string
	f.value("layer_types", &types)
	if f.err != nil || c.Layers < 0 || c.Layers > maxLayers {
		return // Validate says what is wrong with the number
	}
	if n <= 0 && fam.windows == mostWindowed {
		f.err = fmt.Errorf("sliding_window_pattern is %d, want a positive number", n)
		return
	}
	windowed := make([]bool, c.Layers)
	for layer := range windowed {
		windowed[layer] = fam.windows.at(layer, n)
	}
	if types != nil {
		if len(types) != c.Layers {
			f.err = fmt.Errorf("layer_types has %d entries for %d layers", len(types), c.Layers)
			return
		}
		given := make([]bool, c.Layers)
		for layer, kind := range types {
			switch kind {
			case slidingLayer, fullLayer:
				given[layer] = kind == slidingLayer
			default:
				f.err = fmt.Errorf("layer_types: layer %d is %q; supported: %s, %s", layer, kind, fullLayer,
					slidingLayer)
				return
			}
		}
		if fam.windows == allWindowed {
			if c.Window > 0 && !slices.Equal(given, windowed) {
				f.err = fmt.Errorf("layer_types with %s beside a sliding_window is not supported in the %s "+
					"family, where the window is every layer's", fullLayer, c.Family)
				return
			}
		} else if c.Window == 0 && slices.Contains(given, true) {
			f.err = fmt.Errorf(
				"layer_types has %s, but there is no sliding_window, or use_sliding_window is false",
				slidingLayer)
			return
		}
		windowed = given
	}
	if c.Window == 0 {
		return
	}
	standard := func(layer int) bool { return fam.windows.at(layer, fam.windows.period()) }
	for layer := range windowed {
		if windowed[layer] != standard(layer) {
			c.Windowed = windowed
			return
		}
	}
}

// windowKeys are the members of config.json that say which layers have the window.
func (c *Config) windowKeys(keys map[string]any) {
	switch fam := c.family(); fam.windows {
	case neverWindowed, allWindowed:
		return
	case lateWindowed:
		keys["use_sliding_window"] = c.Window > 0
	}
	types := make([]string, c.Layers)
	for layer := range types {
		if types[layer] = fullLayer; c.windowed(layer) {
			types[layer] = slidingLayer
		}
	}
	keys["layer_types"] = types
}

func (c *Config) validateWindows() error {
	fam := c.family()
	switch {
	case c.Window < 0:
		return fmt.Errorf("sliding_window is %d, want a positive number, or null", c.Window)
	case c.Window > 0 && fam.windows == neverWindowed:
		return fmt.Errorf("the %s family has no sliding window; set Window 0", c.Family)
	case c.Windowed != nil && len(c.Windowed) != c.Layers:
		return fmt.Errorf("the field Windowed tells of %d layers, there are %d", len(c.Windowed),
			c.Layers)
	case fam.windows == allWindowed && slices.Contains(c.Windowed, false):
		return fmt.Errorf("in the %s family the window is every layer's; leave Windowed nil", c.Family)
	}
	return nil
}
