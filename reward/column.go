package reward

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"haf/lm"
	"haf/weights"
)

// labelNames returns what config.json calls the n labels of a head, by index: id2label,
// transformers' own names where there is none, or nil where it does not name as many.
func labelNames(c *lm.Config, n int) []string {
	names := make([]string, n)
	raw, ok := c.Raw["id2label"]
	if !ok || string(raw) == "null" {
		for i := range names {
			names[i] = fmt.Sprintf("LABEL_%d", i)
		}
		return names
	}
	var byIndex map[string]any
	if json.Unmarshal(raw, &byIndex) != nil || len(byIndex) != n {
		return nil
	}
	for i := range names {
		name, ok := byIndex[strconv.Itoa(i)]
		if !ok {
			return nil
		}
		names[i] = fmt.Sprint(name)
	}
	return names
}

// labelList lists n labels with their indices, for messages.
func labelList(n int, names []string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = strconv.Itoa(i)
		if names != nil {
			parts[i] += " " + names[i]
		}
	}
	return strings.Join(parts, ", ")
}

// columnExample is a column that n labels have: the last one, and a mean of the first two.
func columnExample(n int, names []string) string {
	name := func(i int) string {
		if names == nil || strings.TrimSpace(names[i]) != names[i] || names[i] == "" {
			return strconv.Itoa(i)
		}
		return names[i]
	}
	return fmt.Sprintf("-column %q or -column %q", name(n-1), "0.5*"+name(0)+" + 0.5*"+name(1))
}

// parseColumn returns the weight of each of n labels in the reward that a column asks for: a
// label, or a sum of labels with weights. A label is an index from 0 or one of names. An integer
// is an index.
func parseColumn(column string, n int, names []string) ([]float64, error) {
	p := &columnParser{rest: strings.TrimSpace(column), labels: n, names: names,
		weights: make([]float64, n)}
	if i := slices.Index(names, p.rest); i >= 0 && !isIndex(p.rest) {
		// A whole name needs no parsing, whatever signs are in it.
		if slices.Index(names[i+1:], p.rest) >= 0 {
			return nil, fmt.Errorf("several labels are called %q, name one by its index", p.rest)
		}
		p.weights[i] = 1
		return p.weights, nil
	}
	if rest, negative := strings.CutPrefix(p.rest, "-"); negative && isIndex(strings.TrimSpace(rest)) {
		return nil, fmt.Errorf("column %s: labels are counted from 0 up; 0 - %s is minus a label", p.rest,
			rest)
	}
	if err := p.sum(); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(p.weights, func(w float64) bool { return w != 0 }) {
		return nil, errors.New("all weights are 0")
	}
	return p.weights, nil
}

func isIndex(text string) bool {
	_, err := strconv.ParseUint(text, 10, 31)
	return err == nil
}

// A columnParser reads [sign] [weight *] label { sign [weight *] label }.
type columnParser struct {
	rest    string
	labels  int
	names   []string
	weights []float64
}

func (p *columnParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

// sum reads all terms and adds up their weights.
func (p *columnParser) sum() error {
	for first := true; ; first = false {
		p.space()
		if p.rest == "" && !first {
			return nil
		}
		sign := 1.0
		switch {
		case strings.HasPrefix(p.rest, "+"):
			p.rest = p.rest[1:]
		case strings.HasPrefix(p.rest, "-"):
			sign, p.rest = -1, p.rest[1:]
		case !first:
			return fmt.Errorf("want + or - before %q", p.rest)
		}
		p.space()
		weight := p.weight()
		label, err := p.label()
		if err != nil {
			return err
		}
		p.weights[label] += sign * weight
	}
}

// weight reads "number *"; where there is none the weight is 1.
func (p *columnParser) weight() float64 {
	end := 0
	for end < len(p.rest) {
		c := p.rest[end]
		exponent := (c == '+' || c == '-') && end > 0 && (p.rest[end-1] == 'e' ||
			p.rest[end-1] == 'E')
		if !strings.ContainsRune("0123456789.eE", rune(c)) && !exponent {
			break
		}
		end++
	}
	after := strings.TrimLeft(p.rest[end:], " \t")
	x, err := strconv.ParseFloat(p.rest[:end], 64)
	if err != nil || !strings.HasPrefix(after, "*") {
		return 1
	}
	p.rest = strings.TrimLeft(after[1:], " \t")
	return x
}

// label reads an index or a name. Of names that begin alike it takes the longest, because a name
// may hold signs, as "helpsteer-helpfulness" does.
func (p *columnParser) label() (int, error) {
	ends := func(after string) bool {
		after = strings.TrimLeft(after, " \t")
		return after == "" || after[0] == '+' || after[0] == '-'
	}
	found, length, several := -1, 0, false
	for i, name := range p.names {
		if after, ok := strings.CutPrefix(p.rest, name); !ok || name == "" || !ends(after) ||
			isIndex(name) {
			continue
		}
		if len(name) == length {
			several = true
		} else if len(name) > length {
			found, length, several = i, len(name), false
		}
	}
	if several {
		return 0, fmt.Errorf("several labels are called %q, name one by its index", p.rest[:length])
	}
	if found >= 0 {
		p.rest = p.rest[length:]
		return found, nil
	}
	end := strings.IndexAny(p.rest, " \t+-*")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	if i, err := strconv.Atoi(word); err == nil && i < p.labels {
		p.rest = p.rest[end:]
		return i, nil
	}
	if word == "" {
		return 0, fmt.Errorf("want a label before %q", p.rest)
	}
	return 0, fmt.Errorf("%q is no label", word)
}

// sumLabels makes one output of a head's labels: the sum of its rows, and of its biases, by the
// weights.
func (h *scoreHead) sumLabels(factors []float64) {
	last := h.last()
	size := last.Shape[1]
	row, bias := make([]float64, size), 0.0
	for label, weight := range factors {
		if weight == 0 {
			continue
		}
		for i, v := range last.Data[label*size : (label+1)*size] {
			row[i] += weight * float64(v)
		}
		if h.bias != nil {
			bias += weight * float64(h.bias.Data[label])
		}
	}
	last.Shape, last.Data = []int{1, size}, make([]float32, size)
	for i, v := range row {
		last.Data[i] = float32(v)
	}
	h.labels = 1
	if h.layers > 0 { // its bias stands behind the weight
		h.arrays[len(h.arrays)-1] = weights.Array{Name: h.bias.Name, Shape: []int{1},
			Data: []float32{float32(bias)}}
		return
	}
	h.offset = bias
}

// choose makes the one reward of the head's labels that a column asks for. A head of one label
// needs no column.
func (h *scoreHead) choose(c *lm.Config, column string) error {
	if column == "" {
		if h.labels > 1 {
			names := labelNames(c, h.labels)
			return fmt.Errorf("reward: %s has %d labels (%s): say which is the reward, such as "+
				"%s, or "+
				"model.column in a recipe", h.source, h.labels, labelList(h.labels, names),
				columnExample(h.labels, names))
		}
		h.sumLabels([]float64{1})
		return nil
	}
	names := labelNames(c, h.labels)
	factors, err := parseColumn(column, h.labels, names)
	if err != nil && h.labels == 1 {
		return fmt.Errorf("reward: %s has one label (%s): column %q: %w: leave the column out",
			h.source, labelList(1, names), column, err)
	}
	if err != nil {
		return fmt.Errorf("reward: %s has %d labels (%s): column %q: %w: want an index, a name "+
			"or a "+
			"weighted sum, such as %s", h.source, h.labels, labelList(h.labels, names), column, err,
			columnExample(h.labels, names))
	}
	h.sumLabels(factors)
	return nil
}
