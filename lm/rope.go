package lm

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A RopeScaling says how the rotary frequencies were stretched for a longer context.
type RopeScaling struct {
	Type                          string // empty, linear or llama3
	Factor                        float64
	LowFreqFactor, HighFreqFactor float64 // llama3
	OriginalMaxPositions          int     // llama3
}

// localThetaKey is transformers 4's key of the rotary base of layers with a window.
const localThetaKey = "rope_local_base_freq"

// parseRope accepts rope_parameters (transformers 5) and rope_theta with rope_scaling (transformers
// 4). Where both are given, the scaling of the older form wins, as in transformers.
func (c *Config) parseRope(f *fields, fam *family) {
	partialKey := fam.key("partial_rotary_factor")
	partial := 1.0
	if c.PartialRotary != 0 {
		partial = c.PartialRotary
	}
	f.value(fam.key("rope_theta"), &c.RopeTheta)
	f.value(partialKey, &partial)
	newer, older := &fields{}, &fields{}
	f.value("rope_parameters", &newer.raw)
	f.value("rope_scaling", &older.raw)
	if fam.localTheta {
		f.value(localThetaKey, &c.LocalRopeTheta)
		c.parseLocalRope(f, newer)
	}
	if f.err != nil {
		return
	}
	key, rope := "rope_parameters", newer
	if f.present("rope_scaling") {
		key, rope = "rope_scaling", older
	}
	for name, value := range rope.raw {
		if len(value) > 0 && value[0] == '{' {
			f.err = fmt.Errorf("%s: settings for each type of layer (%s) are not supported in this family",
				key, name)
			return
		}
	}
	if fam.localTheta {
		newer.value("rope_theta", &c.RopeTheta) // theirs stands beside an older scaling, too
	}
	rope.value("rope_theta", &c.RopeTheta)
	rope.value("partial_rotary_factor", &partial)
	rope.value("type", &c.Rope.Type)
	rope.value("rope_type", &c.Rope.Type)
	switch c.Rope.Type {
	case "default":
		c.Rope.Type = ""
	case "linear":
		rope.required("factor", &c.Rope.Factor)
	case "llama3":
		rope.required("factor", &c.Rope.Factor)
		rope.required("low_freq_factor", &c.Rope.LowFreqFactor)
		rope.required("high_freq_factor", &c.Rope.HighFreqFactor)
		c.Rope.OriginalMaxPositions = c.MaxPositions
		rope.value("original_max_position_embeddings", &c.Rope.OriginalMaxPositions)
	}
	switch {
	case rope.err != nil:
		f.err = fmt.Errorf("%s: %w", key, rope.err)
	case newer.err != nil:
		f.err = fmt.Errorf("rope_parameters: %w", newer.err)
	case partial != 1 && !fam.partial:
		f.err = fmt.Errorf("partial_rotary_factor %g is not supported in this family", partial)
	case partial == 0:
		f.err = fmt.Errorf("%s is 0, want a share above 0, at most 1", partialKey)
	}
	if c.PartialRotary = partial; partial == 1 {
		c.PartialRotary = 0
	}
}

// parseLocalRope takes apart rope_parameters of a family that has them for each type of layer: what
// is left in rope are those of the layers without a window.
func (c *Config) parseLocalRope(f, rope *fields) {
	if f.err != nil || rope.raw == nil {
		return
	}
	var full, local fields
	for name, value := range rope.raw {
		switch name {
		case fullLayer:
			rope.value(name, &full.raw)
		case slidingLayer:
			rope.value(name, &local.raw)
		default:
			f.err = fmt.Errorf("rope_parameters: %s is %s, want settings for %s and %s", name,
				shorten(value), fullLayer, slidingLayer)
			return
		}
	}
	kind := "default"
	local.value("rope_type", &kind)
	local.value("rope_theta", &c.LocalRopeTheta)
	if f.err = errors.Join(rope.err, local.err); f.err == nil && kind != "default" {
		f.err = fmt.Errorf("rope_parameters: rope_type %q of %s is not supported; supported: default",
			kind, slidingLayer)
	}
	rope.raw = full.raw
}

func (c *Config) validateRope() error {
	fam := c.family()
	if !fam.rotary() {
		return nil
	}
	const highest = 1e15 // a million times that of models for the longest texts
	if !(c.RopeTheta > 0 && c.RopeTheta <= highest) {
		return fmt.Errorf("%s is %g, want a number above 0 and up to %g", fam.key("rope_theta"),
			c.RopeTheta, highest)
	}
	if fam.localTheta && !(c.LocalRopeTheta > 0 && c.LocalRopeTheta <= highest) {
		return fmt.Errorf("%s is %g, want a number above 0 and up to %g", localThetaKey,
			c.LocalRopeTheta, highest)
	}
	if !fam.localTheta && c.LocalRopeTheta != 0 {
		return fmt.Errorf("the %s family has no rotary base for its layers with a window; set "+
			"LocalRopeTheta 0", c.Family)
	}
	if !fam.partial && c.PartialRotary != 0 {
		return fmt.Errorf("partial_rotary_factor %g is not supported in this family", c.PartialRotary)
	}
	if !(c.PartialRotary >= 0 && c.PartialRotary < 1) {
		return fmt.Errorf("%s is %g, want a share above 0, at most 1", fam.key("partial_rotary_factor"),
			c.PartialRotary)
	}
	if dim := c.rotaryDim(); dim%2 != 0 || dim == 0 {
		return fmt.Errorf("%s %g of head_dim %d rotates %d dimensions, want an even number: the rotary "+
			"embedding pairs them", fam.key("partial_rotary_factor"), c.PartialRotary, c.HeadDim, dim)
	}
	r := c.Rope
	known := []string{"default", "linear", "llama3"}
	if fam.ropeTypes != nil {
		known = fam.ropeTypes
	}
	if r.Type != "" && !slices.Contains(known, r.Type) {
		return fmt.Errorf("rope_type %q is not supported; supported: %s", r.Type,
			strings.Join(known, ", "))
	}
	if r.Type == "" {
		return nil
	}
	if !positive(r.Factor) {
		return fmt.Errorf("rope %s: factor is %g, want a positive number", r.Type, r.Factor)
	}
	if r.Type == "linear" {
		return nil
	}
	if !positive(r.LowFreqFactor) || !positive(r.HighFreqFactor) ||
		r.HighFreqFactor <= r.LowFreqFactor {
		return fmt.Errorf("rope llama3: low_freq_factor %g and high_freq_factor %g, want positive "+
			"numbers, the second larger", r.LowFreqFactor, r.HighFreqFactor)
	}
	if r.OriginalMaxPositions <= 0 {
		return fmt.Errorf("rope llama3: original_max_position_embeddings is %d, want a positive number",
			r.OriginalMaxPositions)
	}
	return nil
}

// rotaryDim is the number of dimensions of a head that are rotated.
func (c *Config) rotaryDim() int {
	if c.PartialRotary == 0 {
		return c.HeadDim
	}
	return int(float64(c.HeadDim) * c.PartialRotary)
}

// InverseFrequencies returns the angles, in radians per position, by which the rotary embedding
// rotates each pair of the D rotated dimensions of a head, from the fastest to the slowest: D/2 of
// θ^(−2i/D), then scaled as Rope says.
func (c *Config) InverseFrequencies() []float64 { return c.frequencies(c.RopeTheta, c.Rope) }

// localFrequencies are those of the layers with a window.
func (c *Config) localFrequencies() []float64 {
	if c.LocalRopeTheta == 0 {
		return c.InverseFrequencies()
	}
	return c.frequencies(c.LocalRopeTheta, RopeScaling{})
}

func (c *Config) frequencies(theta float64, scaling RopeScaling) []float64 {
	dim := c.rotaryDim()
	inverse := make([]float64, dim/2)
	for i := range inverse {
		f := math.Pow(theta, -2*float64(i)/float64(dim))
		switch scaling.Type {
		case "linear":
			f /= scaling.Factor
		case "llama3":
			f = scaling.llama3(f)
		}
		inverse[i] = f
	}
	return inverse
}

// llama3 leaves the fast frequencies alone, divides the slow ones by the factor, and goes smoothly
// from one to the other in between; turns is how often a frequency goes round in the context that
// the model was trained on first.
func (r RopeScaling) llama3(f float64) float64 {
	turns := float64(r.OriginalMaxPositions) * f / (2 * math.Pi)
	switch {
	case turns < r.LowFreqFactor:
		return f / r.Factor
	case turns > r.HighFreqFactor:
		return f
	}
	smooth := (turns - r.LowFreqFactor) / (r.HighFreqFactor - r.LowFreqFactor)
	return (1-smooth)*f/r.Factor + smooth*f
}

// writeRope writes the rotary settings in both forms: rope_theta with rope_scaling, which
// transformers 4 reads, and rope_parameters, which transformers 5 writes. Either alone says all.
func (c *Config) writeRope(out map[string]json.RawMessage) {
	fam := c.family()
	set := func(to map[string]json.RawMessage, key string, value any) {
		raw, err := json.Marshal(value)
		if err != nil {
			panic(err) // numbers, strings and objects of them
		}
		to[key] = raw
	}
	set(out, fam.key("rope_theta"), c.RopeTheta)
	if fam.localTheta {
		set(out, localThetaKey, c.LocalRopeTheta)
	}
	if fam.partial {
		set(out, fam.key("partial_rotary_factor"), c.partialRotary())
	}
	set(out, "rope_scaling", nil)
	if c.Rope.Type != "" {
		older := c.Rope.keys()
		if fam.typeKey != "" {
			older[fam.typeKey] = older["rope_type"]
			delete(older, "rope_type")
		}
		set(out, "rope_scaling", older)
	}
	newer := c.Rope.keys()
	set(newer, "rope_theta", c.RopeTheta)
	if fam.partial {
		set(newer, "partial_rotary_factor", c.partialRotary())
	}
	if fam.localTheta {
		local := RopeScaling{}.keys()
		set(local, "rope_theta", c.LocalRopeTheta)
		both := map[string]json.RawMessage{}
		set(both, fullLayer, newer)
		set(both, slidingLayer, local)
		newer = both
	}
	set(out, "rope_parameters", newer)
}

// keys are the scaling's members in config.json. Factors have a decimal point, because
// transformers 4 refuses or warns of whole numbers.
func (r RopeScaling) keys() map[string]json.RawMessage {
	float := func(x float64) json.RawMessage {
		text := strconv.FormatFloat(x, 'g', -1, 64)
		if !strings.ContainsAny(text, ".e") {
			text += ".0"
		}
		return json.RawMessage(text)
	}
	switch r.Type {
	case "linear":
		return map[string]json.RawMessage{"rope_type": json.RawMessage(`"linear"`),
			"factor": float(r.Factor)}
	case "llama3":
		return map[string]json.RawMessage{
			"rope_type": json.RawMessage(`"llama3"`), "factor": float(r.Factor),
			"low_freq_factor": float(r.LowFreqFactor), "high_freq_factor": float(r.HighFreqFactor),
			"original_max_position_embeddings": fmt.Appendf(nil, "%d", r.OriginalMaxPositions),
		}
	}
	return map[string]json.RawMessage{"rope_type": json.RawMessage(`"default"`)}
}

// partialRotary is the share as config.json has it.
func (c *Config) partialRotary() float64 {
	if c.PartialRotary == 0 {
		return 1
	}
	return c.PartialRotary
}
