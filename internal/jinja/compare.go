package jinja

import (
	"fmt"
	"strings"
)

// compare is a comparison operator of Python.
func (r *run) compare(op string, a, b Value) (bool, error) {
	switch op {
	case "==":
		return r.equal(a, b, 0)
	case "!=":
		equal, err := r.equal(a, b, 0)
		return !equal, err
	case "in":
		return r.contains(b, a)
	case "not in":
		found, err := r.contains(b, a)
		return !found, err
	}
	c, err := r.order(op, a, b, 0)
	switch op {
	case "<":
		return c == less, err
	case "<=":
		return c == less || c == same, err
	case ">":
		return c == greater, err
	}
	return c == greater || c == same, err
}

// equal is Python's ==.
func (r *run) equal(a, b Value, depth int) (bool, error) {
	if s, ok := text(a); ok {
		t, ok := text(b)
		return ok && s == t, nil
	}
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return x == y, nil
		}
		if y, ok := b.(Float); ok {
			return equalToFloat(x, float64(y)), nil
		}
		return false, nil
	}
	switch a := a.(type) {
	case Float:
		if y, ok := integer(b); ok {
			return equalToFloat(y, float64(a)), nil
		}
		y, ok := b.(Float)
		return ok && a == y, nil
	case None:
		_, ok := b.(None)
		return ok, nil
	case BigInt:
		return a == b, nil
	case *Undefined:
		return isUndefined(b), nil
	case *Range:
		y, ok := b.(*Range)
		return ok && a.n == y.n && (a.n == 0 || a.start == y.start) &&
			(a.n <= 1 || a.step == y.step), nil
	case *List:
		y, ok := b.(*List)
		if !ok || a.kind == valuesView || len(a.items) != len(y.items) {
			return Value(a) == b, nil
		}
		if a.isTuple() != y.isTuple() || a.isView() != y.isView() {
			return false, nil
		}
		if depth > maxDepth {
			return false, errTooDeep
		}
		if a.isView() {
			return r.equalSets(a.items, y.items)
		}
		return r.equalLists(a.items, y.items, depth)
	case *Dict:
		y, ok := b.(*Dict)
		if !ok || a.Len() != y.Len() {
			return false, nil
		}
		return r.equalDicts(a, y, depth)
	}
	return a == b, nil
}

// equalToFloat compares without the rounding of a conversion.
func equalToFloat(x int, y float64) bool {
	return float64(x) == y && (x <= 1<<53 && x >= -1<<53 || y < 1<<63 && int(y) == x)
}

func (r *run) equalItems(a, b []Value) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	return r.equalLists(a, b, 0)
}

func (r *run) equalLists(a, b []Value, depth int) (bool, error) {
	for i, x := range a {
		if err := r.spend(1); err != nil {
			return false, err
		}
		if ok, err := r.equal(x, b[i], depth+1); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// equalSets compares the keys or items of dictionaries, which have no order.
func (r *run) equalSets(a, b []Value) (bool, error) {
	for _, x := range a {
		if found, err := r.among(b, x); !found || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (r *run) equalDicts(a, b *Dict, depth int) (bool, error) {
	if depth > maxDepth {
		return false, errTooDeep
	}
	for i, k := range a.keys {
		if err := r.spend(1); err != nil {
			return false, err
		}
		other, err := r.lookup(b, k)
		if err != nil || other == nil {
			return false, err
		}
		if ok, err := r.equal(a.values[i], other, depth+1); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

// An ordering is how two values compare. NaN is unordered.
type ordering int8

const (
	unordered ordering = iota
	less
	same
	greater
)

func ordered[T int | float64 | string](x, y T) ordering {
	switch {
	case x < y:
		return less
	case x > y:
		return greater
	case x == y:
		return same
	}
	return unordered
}

// order compares by size for the operator op.
func (r *run) order(op string, a, b Value, depth int) (ordering, error) {
	if s, ok := text(a); ok {
		if t, ok := text(b); ok {
			r.scan(min(len(s), len(t)))
			return ordered(s, t), nil
		}
	}
	if x, ok := integer(a); ok {
		if y, ok := integer(b); ok {
			return ordered(x, y), nil
		}
	}
	x, okX := number(a)
	y, okY := number(b)
	if okX && okY {
		return ordered(x, y), nil
	}
	l, okL := a.(*List)
	m, okM := b.(*List)
	if !okL || !okM || l.isView() || m.isView() || l.isTuple() != m.isTuple() {
		return unordered, badOperands(op, a, b)
	}
	if depth > maxDepth {
		return unordered, errTooDeep
	}
	for i := range min(len(l.items), len(m.items)) {
		if err := r.spend(1); err != nil {
			return unordered, err
		}
		equal, err := r.equal(l.items[i], m.items[i], depth+1)
		if err != nil {
			return unordered, err
		}
		if !equal {
			return r.order(op, l.items[i], m.items[i], depth+1)
		}
	}
	return ordered(len(l.items), len(m.items)), nil
}

// contains is Python's in.
func (r *run) contains(container, item Value) (bool, error) {
	if s, ok := text(container); ok {
		part, ok := text(item)
		if !ok {
			return false, badOperand("in of a text", item)
		}
		r.scan(len(s))
		return strings.Contains(s, part), nil
	}
	switch c := container.(type) {
	case *Dict:
		found, err := r.lookup(c, item)
		return found != nil, err
	case *Range:
		x, ok := number(item)
		i := int(x)
		return ok && float64(i) == x && c.step != 0 && (i-c.start)%c.step == 0 &&
			(i-c.start)/c.step >= 0 && (i-c.start)/c.step < c.n, nil
	case *iterator:
		if c.err != nil {
			return false, c.err
		}
		for len(c.items) > 0 { // an iterator is used up to what is found
			next := c.items[0]
			c.items = c.items[1:]
			if err := r.spend(1); err != nil {
				return false, err
			}
			if ok, err := r.equal(next, item, 0); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	case *Undefined, *List:
		items, err := r.items(c)
		if err != nil {
			return false, err
		}
		return r.among(items, item)
	}
	return false, fmt.Errorf("in does not take a value of type %s", container.typeName())
}

// among reports whether an item is among others.
func (r *run) among(items []Value, item Value) (bool, error) {
	for _, x := range items {
		if err := r.spend(1); err != nil {
			return false, err
		}
		if ok, err := r.equal(x, item, 0); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
