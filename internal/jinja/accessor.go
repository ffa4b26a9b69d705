package jinja

import (
	"strconv"
	"strings"
)

// An accessor looks up a filter's argument attribute, such as "a.b.0", in a value.
type accessor struct {
	parts    []Value
	fallback Value // replaces an undefined value, unless nil
	lower    bool  // compare texts without regard to case
}

// newAccessor returns an accessor. Attribute may be nil; sensitive is the argument case_sensitive.
func newAccessor(attribute, fallback, sensitive Value) accessor {
	out := accessor{fallback: fallback, lower: sensitive == nil || !truth(sensitive)}
	if fallback == (None{}) {
		out.fallback = nil
	}
	if attribute == nil || attribute == (None{}) {
		return out
	}
	path, ok := text(attribute)
	if !ok {
		out.parts = []Value{attribute}
		return out
	}
	for part := range strings.SplitSeq(path, ".") {
		if i, err := strconv.Atoi(part); err == nil && strings.Trim(part, "0123456789") == "" {
			out.parts = append(out.parts, Int(i))
		} else {
			out.parts = append(out.parts, Str(part))
		}
	}
	return out
}

// of returns the attribute of a value, whatever lower says.
func (c accessor) of(r *run, v Value) (Value, error) {
	for _, part := range c.parts {
		if err := r.spend(1); err != nil {
			return nil, err
		}
		var err error
		if v, err = r.item(v, part); err != nil {
			return nil, err
		}
		if isUndefined(v) && c.fallback != nil {
			v = c.fallback
		}
	}
	return v, nil
}

// key returns the value that items are compared by.
func (c accessor) key(r *run, v Value) (Value, error) {
	v, err := c.of(r, v)
	if err != nil || !c.lower {
		return v, err
	}
	if s, ok := text(v); ok {
		return Str(lower(s)), r.payText(len(s))
	}
	return v, nil
}
