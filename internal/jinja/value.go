package jinja

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Value is what a template computes with: Undefined, None, Bool, Int, BigInt, Float, Str, Markup,
// *List, *Dict, *Range, *iterator, *namespace, *loop or *function. Values do not change, except
// that a namespace has assignable attributes and an iterator is used up.
type Value interface {
	// typeName is the type's name in error messages: Python's.
	typeName() string
}

type (
	// None is Python's None.
	None struct{}
	// Bool is a truth value.
	Bool bool
	// Int is an integer of 64 bits.
	Int int64
	// BigInt is an integer of more than 64 bits, in decimal digits. It can only be written.
	BigInt string
	// Float is a float64.
	Float float64
	// Str is a text. Its length and indices count characters.
	Str string
	// Markup is a text that the filters safe and escape return. Adding a Str escapes the Str.
	Markup string
)

// Undefined is a missing variable or attribute. It is false, empty, and written as nothing.
type Undefined struct{ what string }

// A listKind tells apart the sequences of Python that a List stands for.
type listKind uint8

const (
	plainList listKind = iota
	tuple
	groupTuple // a tuple of the filter groupby, with the attributes grouper and list
	keysView
	valuesView
	itemsView
)

// A List is a list, a tuple, or a view of a dictionary.
type List struct {
	items []Value
	kind  listKind
}

// NewList returns a list of the given items.
func NewList(items ...Value) *List { return &List{items: items} }

func newTuple(items ...Value) *List { return &List{items: items, kind: tuple} }

func (l *List) isView() bool { return l.kind >= keysView }

func (l *List) isTuple() bool { return l.kind == tuple || l.kind == groupTuple }

// A Range is the value of range(): n integers from start, step apart.
type Range struct{ start, stop, step, n int }

func (r *Range) at(i int) Value { return Int(r.start + i*r.step) }

// An iterator gives each item once, as Python's generators do. Where making the items failed, the
// error waits for the first use.
type iterator struct {
	items []Value
	err   error
}

// A namespace is the one value whose attributes a template can set.
type namespace struct{ attrs *Dict }

// A function is anything that can be called.
type function struct {
	name string
	// call gets the run for its budget.
	call func(r *run, a arguments) (Value, error)
	// attr is nil, or finds an attribute of the function.
	attr  func(name string) Value
	macro bool
}

func (*Undefined) typeName() string { return "undefined" }
func (None) typeName() string       { return "None" }
func (Bool) typeName() string       { return "bool" }
func (Int) typeName() string        { return "int" }
func (BigInt) typeName() string     { return "int" }
func (Float) typeName() string      { return "float" }
func (Str) typeName() string        { return "str" }
func (Markup) typeName() string     { return "str" }
func (*Dict) typeName() string      { return "dict" }
func (*Range) typeName() string     { return "range" }
func (*iterator) typeName() string  { return "iterator" }
func (*namespace) typeName() string { return "namespace" }
func (*function) typeName() string  { return "function" }
func (*loop) typeName() string      { return "loop" }
func (l *List) typeName() string {
	return [...]string{"list", "tuple", "tuple", "dict_keys", "dict_values", "dict_items"}[l.kind]
}

// text returns the string of a Str or a Markup.
func text(v Value) (string, bool) {
	switch v := v.(type) {
	case Str:
		return string(v), true
	case Markup:
		return string(v), true
	}
	return "", false
}

// integer returns the value of an Int or a Bool, which Python counts among the integers.
func integer(v Value) (int, bool) {
	switch v := v.(type) {
	case Int:
		return int(v), true
	case Bool:
		if v {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// number returns the value of an Int, a Bool or a Float.
func number(v Value) (float64, bool) {
	if f, ok := v.(Float); ok {
		return float64(f), true
	}
	i, ok := integer(v)
	return float64(i), ok
}

// isUndefined reports whether v is missing.
func isUndefined(v Value) bool {
	_, ok := v.(*Undefined)
	return ok
}

// err is the error of using an undefined value.
func (u *Undefined) err() error { return fmt.Errorf("%s is undefined", u.what) }

// truth is Python's bool().
func truth(v Value) bool {
	switch v := v.(type) {
	case *Undefined, None:
		return false
	case Bool:
		return bool(v)
	case Int:
		return v != 0
	case Float:
		return v != 0
	case Str:
		return v != ""
	case Markup:
		return v != ""
	case *List:
		return len(v.items) > 0
	case *Dict:
		return v.Len() > 0
	case *Range:
		return v.n > 0
	}
	return true
}

// length is Python's len(). ok is false if the type has none.
func (r *run) length(v Value) (n int, ok bool) {
	if s, isText := text(v); isText {
		r.scan(len(s))
		return utf8.RuneCountInString(s), true
	}
	switch v := v.(type) {
	case *Undefined:
		return 0, true
	case *List:
		return len(v.items), true
	case *Dict:
		return v.Len(), true
	case *Range:
		return v.n, true
	case *loop:
		return v.items.len(), true
	}
	return 0, false
}

// A sequence is the input of a loop: items, or the integers of a range.
type sequence struct {
	items []Value
	rng   *Range
}

func (s sequence) len() int {
	if s.rng != nil {
		return s.rng.n
	}
	return len(s.items)
}

func (s sequence) at(i int) Value {
	if s.rng != nil {
		return s.rng.at(i)
	}
	return s.items[i]
}

// iterate is Python's iter(). It uses up an iterator. The items are not to be changed.
func (r *run) iterate(v Value) (sequence, error) {
	if s, ok := text(v); ok {
		if err := r.pay(itemSize * len(s)); err != nil {
			return sequence{}, err
		}
		return sequence{items: characters(s)}, nil
	}
	switch v := v.(type) {
	case *Undefined:
		return sequence{}, nil
	case *List:
		return sequence{items: v.items}, nil
	case *Dict:
		return sequence{items: v.keys}, nil
	case *Range:
		return sequence{rng: v}, nil
	case *iterator:
		items := v.items
		v.items = nil
		return sequence{items: items}, v.err
	}
	return sequence{}, fmt.Errorf("a value of type %s cannot be iterated", v.typeName())
}

// items is iterate as a slice, which is not to be changed.
func (r *run) items(v Value) ([]Value, error) {
	s, err := r.iterate(v)
	if err != nil || s.rng == nil {
		return s.items, err
	}
	if err := r.pay(itemSize * s.rng.n); err != nil {
		return nil, err
	}
	out := make([]Value, s.rng.n)
	for i := range out {
		out[i] = s.rng.at(i)
	}
	return out, nil
}

// characters returns the characters of a text.
func characters(s string) []Value {
	out := make([]Value, 0, len(s))
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		out = append(out, Str(s[i:i+n]))
		i += n
	}
	return out
}

// A key identifies an entry of a dictionary: equal values have equal keys.
type key struct {
	kind byte
	n    int64
	s    string
}

// hash returns the key of a value, or an error for values that Python cannot hash.
func (r *run) hash(v Value, depth int) (key, error) {
	if s, ok := text(v); ok {
		return key{kind: 's', s: s}, nil
	}
	if i, ok := integer(v); ok {
		return key{kind: 'i', n: int64(i)}, nil
	}
	switch v := v.(type) {
	case None:
		return key{kind: 'n'}, nil
	case *Undefined:
		return key{kind: 'u'}, nil
	case BigInt:
		return key{kind: 'b', s: string(v)}, nil
	case Float:
		if i := int64(v); math.Abs(float64(v)) < 1<<63 && Float(i) == v {
			return key{kind: 'i', n: i}, nil
		}
		return key{kind: 'f', n: int64(math.Float64bits(float64(v)))}, nil
	case *List:
		if !v.isTuple() || depth > maxDepth {
			break
		}
		out := key{kind: 't'}
		for _, item := range v.items {
			k, err := r.hash(item, depth+1)
			if err != nil {
				return key{}, err
			}
			out.s += fmt.Sprintf("%c%d:%d:%s", k.kind, k.n, len(k.s), k.s)
			if err := r.pay(len(out.s)); err != nil {
				return key{}, err
			}
		}
		return out, nil
	}
	return key{}, fmt.Errorf("a value of type %s cannot be a dictionary's key", v.typeName())
}
