package jinja

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

// An expr is an expression. It is evaluated by way of run.eval.
type expr interface {
	eval(r *run, s *scope) (Value, error)
}

type constExpr struct{ value Value }

func (e *constExpr) eval(*run, *scope) (Value, error) { return e.value, nil }

type nameExpr struct {
	id      int
	missing *Undefined
}

func (e *nameExpr) eval(r *run, s *scope) (Value, error) {
	if v := r.get(s, e.id); v != nil {
		return v, nil
	}
	return e.missing, nil
}

type listExpr struct {
	items []expr
	kind  listKind
}

func (e *listExpr) eval(r *run, s *scope) (Value, error) {
	if err := r.payItems(len(e.items)); err != nil {
		return nil, err
	}
	items, err := r.evalAll(e.items, s)
	return &List{items, e.kind}, err
}

type dictExpr struct{ keys, values []expr }

func (e *dictExpr) eval(r *run, s *scope) (Value, error) {
	out := &Dict{}
	for i := range e.keys {
		k, err := r.eval(e.keys[i], s)
		if err != nil {
			return nil, err
		}
		v, err := r.eval(e.values[i], s)
		if err != nil {
			return nil, err
		}
		if err := r.insert(out, k, v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

type conditionalExpr struct{ test, then, other expr } // other nil: undefined

var noElse = &Undefined{"an if without else"}

func (e *conditionalExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.test, s)
	switch {
	case err != nil:
		return nil, err
	case truth(v):
		return r.eval(e.then, s)
	case e.other == nil:
		return noElse, nil
	}
	return r.eval(e.other, s)
}

type logicExpr struct {
	left, right expr
	or          bool
}

func (e *logicExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.left, s)
	if err != nil || truth(v) == e.or {
		return v, err
	}
	return r.eval(e.right, s)
}

type notExpr struct{ of expr }

func (e *notExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	return Bool(!truth(v)), nil
}

type comparison struct {
	op    string
	right expr
}

type compareExpr struct {
	first expr
	rest  []comparison
}

func (e *compareExpr) eval(r *run, s *scope) (Value, error) {
	left, err := r.eval(e.first, s)
	if err != nil {
		return nil, err
	}
	for _, c := range e.rest {
		right, err := r.eval(c.right, s)
		if err != nil {
			return nil, err
		}
		ok, err := r.compare(c.op, left, right)
		if err != nil || !ok {
			return Bool(false), err
		}
		left = right
	}
	return Bool(true), nil
}

type binaryExpr struct {
	op          string
	left, right expr
}

func (e *binaryExpr) eval(r *run, s *scope) (Value, error) {
	left, err := r.eval(e.left, s)
	if err != nil {
		return nil, err
	}
	right, err := r.eval(e.right, s)
	if err != nil {
		return nil, err
	}
	return r.binary(e.op, left, right)
}

type signExpr struct {
	of       expr
	negative bool
}

func (e *signExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	if f, ok := v.(Float); ok {
		if e.negative {
			return -f, nil
		}
		return f, nil
	}
	i, ok := integer(v)
	if !ok {
		return nil, badOperand("the sign", v)
	}
	if e.negative {
		return r.binary("-", Int(0), Int(i))
	}
	return Int(i), nil
}

// concatExpr is a ~ b ~ c.
type concatExpr struct{ parts []expr }

func (e *concatExpr) eval(r *run, s *scope) (Value, error) {
	parts, err := r.evalAll(e.parts, s)
	if err != nil {
		return nil, err
	}
	w := writer{r: r}
	for _, v := range parts {
		if err := w.str(v, 0); err != nil {
			return nil, err
		}
	}
	return Str(w.out), nil
}

type attrExpr struct {
	of      expr
	name    string
	missing *Undefined
}

func (e *attrExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	found, err := attribute(v, e.name)
	if found == nil {
		return e.missing, err
	}
	return found, err
}

// attribute is v.name: a method, else an entry, else nil.
func attribute(v Value, name string) (Value, error) {
	if m := methodOf(v, name); m != nil {
		return m.bind(v), nil
	}
	switch v := v.(type) {
	case *Undefined:
		return nil, v.err()
	case *Dict:
		if !mutators[name] {
			return v.Get(name), nil
		}
	case *namespace:
		return v.attrs.Get(name), nil
	case *loop:
		return v.attr(name), nil
	case *function:
		if v.attr != nil {
			return v.attr(name), nil
		}
	case *List:
		if v.kind == groupTuple && name == "grouper" {
			return v.items[0], nil
		}
		if v.kind == groupTuple && name == "list" {
			return v.items[1], nil
		}
	}
	return nil, nil
}

type itemExpr struct{ of, index expr }

func (e *itemExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	index, err := r.eval(e.index, s)
	if err != nil {
		return nil, err
	}
	return r.item(v, index)
}

// item is v[index]: an item or entry, else an attribute, else undefined.
func (r *run) item(v, index Value) (Value, error) {
	if u, ok := v.(*Undefined); ok {
		return nil, u.err()
	}
	if i, ok := integer(index); ok {
		if found := r.itemAt(v, i); found != nil {
			return found, nil
		}
	}
	if d, ok := v.(*Dict); ok {
		// A key that cannot be hashed is a missing one.
		if found, err := r.lookup(d, index); err == nil && found != nil {
			return found, nil
		}
	}
	if name, ok := text(index); ok {
		found, err := attribute(v, name)
		if found == nil {
			found = &Undefined{fmt.Sprintf("the entry %.100q", name)}
		}
		return found, err
	}
	return &Undefined{"an item"}, nil
}

// itemAt returns the i-th item or character, or nil. A negative i counts from the end.
func (r *run) itemAt(v Value, i int) Value {
	if s, ok := text(v); ok {
		return r.character(s, i)
	}
	var all sequence
	switch v := v.(type) {
	case *List:
		if v.isView() {
			return nil
		}
		all.items = v.items
	case *Range:
		all.rng = v
	}
	if i < 0 {
		i += all.len()
	}
	if i < 0 || i >= all.len() {
		return nil
	}
	return all.at(i)
}

// character returns the i-th character, or nil.
func (r *run) character(s string, i int) Value {
	if i < 0 {
		for ; i < -1 && s != ""; i++ {
			_, n := utf8.DecodeLastRuneInString(s)
			s = s[:len(s)-n]
			if i%scanPerStep == 0 {
				r.scan(scanPerStep)
			}
		}
		_, n := utf8.DecodeLastRuneInString(s)
		if n == 0 {
			return nil
		}
		return Str(s[len(s)-n:])
	}
	at := byteIndex(s, i)
	r.scan(at)
	_, n := utf8.DecodeRuneInString(s[at:])
	if n == 0 {
		return nil
	}
	return Str(s[at : at+n])
}

// byteIndex returns the byte offset of the i-th character, or the length if there are fewer.
func byteIndex(s string, i int) int {
	at := 0
	for ; i > 0 && at < len(s); i-- {
		_, n := utf8.DecodeRuneInString(s[at:])
		at += n
	}
	return at
}

type sliceExpr struct{ of, start, stop, step expr } // nil for what is not given

func (e *sliceExpr) eval(r *run, s *scope) (Value, error) {
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	bounds := [3]Value{None{}, None{}, None{}}
	for i, b := range []expr{e.start, e.stop, e.step} {
		if b != nil {
			if bounds[i], err = r.eval(b, s); err != nil {
				return nil, err
			}
		}
	}
	return r.slice(v, bounds)
}

// slice is v[start:stop:step].
func (r *run) slice(v Value, bounds [3]Value) (Value, error) {
	if u, ok := v.(*Undefined); ok {
		return nil, u.err()
	}
	n, _ := r.length(v)
	first, count, step, err := sliceBounds(bounds, n)
	if err != nil {
		return nil, err
	}
	if s, ok := text(v); ok {
		out, err := r.sliceText(s, first, count, step)
		if _, ok := v.(Markup); ok {
			return Markup(out), err
		}
		return Str(out), err
	}
	switch v := v.(type) {
	case *Range:
		return &Range{v.start + first*v.step, v.start + (first+count*step)*v.step,
			v.step * step, count}, nil
	case *List:
		if v.isView() {
			break
		}
		kind := v.kind
		if kind == groupTuple {
			kind = tuple
		}
		if step == 1 {
			return &List{v.items[first : first+count : first+count], kind}, nil
		}
		if err := r.payItems(count); err != nil {
			return nil, err
		}
		out := make([]Value, count)
		for i := range out {
			out[i] = v.items[first+i*step]
		}
		return &List{out, kind}, nil
	}
	return nil, fmt.Errorf("a value of type %s cannot be sliced", v.typeName())
}

// sliceBounds returns the index of the first of count items, step apart, as Python takes them.
func sliceBounds(bounds [3]Value, n int) (first, count, step int, err error) {
	given := [3]bool{}
	at := [3]int{}
	for i, b := range bounds {
		if _, none := b.(None); none {
			continue
		}
		if at[i], given[i] = integer(b); !given[i] {
			return 0, 0, 0, fmt.Errorf("a slice cannot have a bound of type %s", b.typeName())
		}
	}
	step = 1
	if given[2] {
		step = max(min(at[2], n+1), -n-1) // a longer step takes the same one item
		if at[2] == 0 {
			return 0, 0, 0, errors.New("the step of a slice is zero")
		}
	}
	low, high := 0, n // where a bound can lie
	if step < 0 {
		low, high = -1, n-1
	}
	limit := func(i, fallback int) int {
		if !given[i] {
			return fallback
		}
		if at[i] < 0 {
			return max(at[i]+n, low)
		}
		return min(at[i], high)
	}
	if step > 0 {
		stop := limit(1, n)
		first = limit(0, 0)
		count = max(0, (stop-first+step-1)/step)
	} else {
		stop := limit(1, -1)
		first = limit(0, n-1)
		count = max(0, (first-stop-step-1)/-step)
	}
	if count == 0 {
		first = 0
	}
	return first, count, step, nil
}

func (r *run) sliceText(s string, first, count, step int) (string, error) {
	if step == 1 {
		begin := byteIndex(s, first)
		part := s[begin : begin+byteIndex(s[begin:], count)]
		return part, r.pay(len(part))
	}
	if err := r.pay(5 * len(s)); err != nil {
		return "", err
	}
	runes := []rune(s)
	out := make([]rune, count)
	for i := range out {
		out[i] = runes[first+i*step]
	}
	return string(out), nil
}

type callExpr struct {
	callee expr
	args   argExprs
	block  *macro // the body of a {% call %}, or nil
}

func (e *callExpr) eval(r *run, s *scope) (Value, error) {
	// A method that is called at once needs no value of its own.
	if of, ok := e.callee.(*attrExpr); ok && e.block == nil {
		self, err := r.eval(of.of, s)
		if err != nil {
			return nil, err
		}
		if m := methodOf(self, of.name); m != nil {
			a, err := e.args.eval(r, s)
			if err != nil {
				return nil, err
			}
			return m.call(r, self, a)
		}
		found, err := attribute(self, of.name)
		if err != nil {
			return nil, err
		}
		if found == nil {
			return nil, fmt.Errorf("a value of type %s has no method %q", self.typeName(), of.name)
		}
		a, err := e.args.eval(r, s)
		if err != nil {
			return nil, err
		}
		return r.invoke(found, a)
	}
	callee, err := r.eval(e.callee, s)
	if err != nil {
		return nil, err
	}
	a, err := e.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	if e.block != nil {
		a.names = append(a.names[:len(a.names):len(a.names)], "caller")
		a.named = append(a.named, e.block.bind(s))
	}
	return r.invoke(callee, a)
}

// applyExpr applies a filter or a test to a value.
type applyExpr struct {
	of    expr
	kind  string // filter or test
	name  string
	apply filter // nil: not known
	args  argExprs
}

func (e *applyExpr) eval(r *run, s *scope) (Value, error) {
	if e.apply == nil {
		return nil, fmt.Errorf("there is no %s %q", e.kind, e.name)
	}
	v, err := r.eval(e.of, s)
	if err != nil {
		return nil, err
	}
	a, err := e.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return e.apply(r, v, a)
}

// ofTest makes a filter of a test: its value is true or false.
func ofTest(t test) filter {
	if t == nil {
		return nil
	}
	return func(r *run, v Value, a arguments) (Value, error) {
		ok, err := t(r, v, a)
		return Bool(ok), err
	}
}
