package reward

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"haf/internal/wholefile"
	"haf/weights"
)

// loraModule is one adapted linear layer of an adapter on disk.
type loraModule struct {
	rank      int
	scale     float64
	magnitude string // the name of DoRA's vector, empty where there is none
}

// moduleOf returns rank and scale of a layer: those of the patterns that match it, else the
// adapter's.
func (c *adapterConfig) moduleOf(path string) (loraModule, error) {
	rank, err := patternValue(c.RankPattern, path, c.Rank)
	if err != nil {
		return loraModule{}, fmt.Errorf("rank_pattern: %w", err)
	}
	alpha, err := patternValue(c.AlphaPattern, path, c.Alpha)
	if err != nil {
		return loraModule{}, fmt.Errorf("alpha_pattern: %w", err)
	}
	if rank < 1 || !inFloat32(alpha) {
		return loraModule{}, fmt.Errorf("%s: %s has rank %d and alpha %g, want a positive rank and a "+
			"number of float32", adapterConfigName, path, rank, alpha)
	}
	scale := alpha / float64(rank)
	if c.RSLoRA {
		scale = alpha / math.Sqrt(float64(rank))
	}
	return loraModule{rank: rank, scale: scale}, nil
}

// inFloat32 reports whether a number is finite in float32.
func inFloat32(x float64) bool { return math.Abs(x) <= math.MaxFloat32 }

// patternValue looks a path up as PEFT does: a key is a regular expression of the path's last
// names. Of several that match, PEFT takes the first in the file, an order that is not kept here:
// they must agree.
func patternValue[T comparable](pattern map[string]T, path string, absent T) (T, error) {
	found, matched := absent, ""
	for key, value := range pattern {
		re, err := regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
		if err != nil {
			return absent, fmt.Errorf("%q is no regular expression: %w", key, err)
		}
		if !re.MatchString(path) {
			continue
		}
		if matched != "" && value != found {
			return absent, fmt.Errorf("%q and %q both match %s, with different values", matched, key, path)
		}
		found, matched = value, key
	}
	return found, nil
}

// names reads a list of names, or one.
func names(raw json.RawMessage) (list []string, single string, err error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, "", nil
	}
	if wholefile.Unmarshal(raw, &single) == nil {
		return nil, single, nil
	}
	err = wholefile.Unmarshal(raw, &list)
	return list, "", err
}

// targeted tells, as PEFT decides it, whether the settings select a layer: target_modules (names,
// or one regular expression of the whole path), not exclude_modules, and the numbers of
// layers_to_transform.
func (c *adapterConfig) targeted(path string) (bool, error) {
	selects := func(key string, raw json.RawMessage) (bool, error) {
		list, single, err := names(raw)
		switch {
		case err != nil:
			return false, fmt.Errorf("%s is %.60s, want names", key, raw)
		case single == "all-linear":
			return true, nil
		case single != "":
			re, err := regexp.Compile(`^(?:` + single + `)$`)
			// Python's expressions know more than Go's. The tensors in the file are what counts, this only
			// checks them.
			return err == nil && re.MatchString(path), nil
		}
		return slices.ContainsFunc(list, func(name string) bool {
			return path == name ||
				strings.HasSuffix(path, "."+name)
		}), nil
	}
	excluded, err := selects("exclude_modules", c.ExcludeModules)
	if err != nil || excluded {
		return false, err
	}
	hit, err := selects("target_modules", c.Targets)
	if err != nil || !hit || len(c.LayersToTransform) == 0 || string(c.LayersToTransform) == "null" {
		return hit, err
	}
	var layers []int
	if wholefile.Unmarshal(c.LayersToTransform, &layers) != nil {
		var one int
		if err := wholefile.Unmarshal(c.LayersToTransform, &one); err != nil {
			return false, fmt.Errorf("layers_to_transform is %.60s, want numbers", c.LayersToTransform)
		}
		layers = []int{one}
	}
	m := layerNumber.FindStringSubmatch(path)
	if m == nil {
		return false, nil
	}
	n, err := strconv.Atoi(m[1])
	return slices.Contains(layers, n), err
}

var layerNumber = regexp.MustCompile(`\.(\d+)\.`)

// mergeDoRA turns W [out, in] into the weights of DoRA (arXiv 2402.09353): m ⊙ (W + scale·B·A) / ‖W
// + scale·B·A‖, the norm and the magnitude m [out] by row.
func mergeDoRA(w, a, b, magnitude weights.Array, scale float64) {
	addScaled(w, a, b, scale)
	rows, size := w.Shape[0], w.Shape[1]
	for i := range rows {
		row, sum := w.Data[i*size:(i+1)*size], 0.0
		for _, v := range row {
			sum += float64(v) * float64(v)
		}
		factor := float64(magnitude.Data[i]) / math.Sqrt(sum)
		for j, v := range row {
			row[j] = float32(float64(v) * factor)
		}
	}
}

// addScaled adds scale · B·A to W.
func addScaled(w, a, b weights.Array, scale float64) {
	blas32.Gemm(blas.NoTrans, blas.NoTrans, float32(scale), general(b), general(a), 1, general(w))
}

// general is a matrix as BLAS takes it.
func general(x weights.Array) blas32.General {
	return blas32.General{Rows: x.Shape[0], Cols: x.Shape[1], Stride: x.Shape[1], Data: x.Data}
}

// addTransposed adds (scale · B·A)ᵀ to W [in, out].
func addTransposed(w, a, b weights.Array, scale float64) {
	blas32.Gemm(blas.Trans, blas.Trans, float32(scale), general(a), general(b), 1, general(w))
}
