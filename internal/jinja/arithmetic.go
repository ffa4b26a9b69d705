package jinja

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

var errOverflow = errors.New("integers of more than 64 bits are not supported")

// badOperand is the error for an operator on a value of the wrong type.
func badOperand(op string, v Value) error {
	if u, ok := v.(*Undefined); ok {
		return u.err()
	}
	return fmt.Errorf("%s does not take a value of type %s", op, v.typeName())
}

func badOperands(op string, a, b Value) error {
	for _, v := range []Value{a, b} {
		if u, ok := v.(*Undefined); ok {
			return u.err()
		}
	}
	return fmt.Errorf("%s %s %s is not supported", a.typeName(), op, b.typeName())
}

// binary is an arithmetic operator of Python.
func (r *run) binary(op string, a, b Value) (Value, error) {
	switch op {
	case "+":
		if v, err := r.join(a, b); v != nil || err != nil {
			return v, err
		}
	case "*":
		if v, err := r.repeat(a, b); v != nil || err != nil {
			return v, err
		}
	case "%":
		if s, ok := text(a); ok {
			return r.percent(s, b)
		}
	}
	x, okX := integer(a)
	y, okY := integer(b)
	if okX && okY {
		return integerOp(op, x, y)
	}
	f, okF := number(a)
	g, okG := number(b)
	if !okF || !okG {
		return nil, badOperands(op, a, b)
	}
	return floatOp(op, f, g)
}

// join is + of texts and lists, or nil for other values.
func (r *run) join(a, b Value) (Value, error) {
	if s, ok := a.(Str); ok {
		if t, ok := b.(Str); ok {
			if err := r.payText(len(s) + len(t)); err != nil {
				return nil, err
			}
			return s + t, nil
		}
	}
	s, okS := text(a)
	t, okT := text(b)
	if okS && okT { // one is Markup
		s, t = escapeUnlessMarkup(a, s), escapeUnlessMarkup(b, t)
		if err := r.payText(len(s) + len(t)); err != nil {
			return nil, err
		}
		return Markup(s + t), nil
	}
	l, okL := a.(*List)
	m, okM := b.(*List)
	if !okL || !okM || l.isView() || l.isTuple() != m.isTuple() || m.isView() {
		return nil, nil
	}
	if err := r.payItems(len(l.items) + len(m.items)); err != nil {
		return nil, err
	}
	out := append(make([]Value, 0, len(l.items)+len(m.items)), l.items...)
	return &List{append(out, m.items...), min(l.kind, tuple)}, nil
}

func escapeUnlessMarkup(v Value, s string) string {
	if _, ok := v.(Markup); ok {
		return s
	}
	return htmlEscaper.Replace(s)
}

// repeat is * of a text or list and an integer, or nil for other values.
func (r *run) repeat(a, b Value) (Value, error) {
	n, ok := integer(b)
	if !ok {
		a, b = b, a
		if n, ok = integer(b); !ok {
			return nil, nil
		}
	}
	n = max(n, 0)
	if s, ok := text(a); ok {
		if len(s) > 0 && n > maxText/len(s) {
			return nil, errTooLong
		}
		if err := r.payText(n * len(s)); err != nil {
			return nil, err
		}
		return like(a, strings.Repeat(s, n)), nil
	}
	l, ok := a.(*List)
	if !ok || l.isView() {
		return nil, nil
	}
	if len(l.items) > 0 && n > maxItems/len(l.items) {
		return nil, errTooMany
	}
	if err := r.payItems(n * len(l.items)); err != nil {
		return nil, err
	}
	out := make([]Value, 0, n*len(l.items))
	for range n {
		out = append(out, l.items...)
		if len(l.items) == 0 {
			break
		}
	}
	return &List{out, min(l.kind, tuple)}, nil
}

// like returns s as Markup if v, from which it was made, is Markup.
func like(v Value, s string) Value {
	if _, ok := v.(Markup); ok {
		return Markup(s)
	}
	return Str(s)
}

func integerOp(op string, x, y int) (Value, error) {
	switch op {
	case "+":
		if z := x + y; (z > x) == (y > 0) {
			return Int(z), nil
		}
		return nil, errOverflow
	case "-":
		if z := x - y; (z < x) == (y > 0) {
			return Int(z), nil
		}
		return nil, errOverflow
	case "*":
		z := x * y
		if x != 0 && (z/x != y || x == -1 && y == math.MinInt) {
			return nil, errOverflow
		}
		return Int(z), nil
	case "**":
		return integerPower(x, y)
	}
	if y == 0 {
		return nil, errors.New("division by zero")
	}
	switch op {
	case "/":
		return Float(float64(x) / float64(y)), nil
	case "//":
		q := x / y
		if x%y != 0 && (x < 0) != (y < 0) {
			q--
		}
		return Int(q), nil
	}
	rest := x % y
	if rest != 0 && (rest < 0) != (y < 0) {
		rest += y
	}
	return Int(rest), nil
}

func integerPower(x, y int) (Value, error) {
	if y < 0 {
		return floatOp("**", float64(x), float64(y))
	}
	z := Value(Int(1))
	for i := range y {
		if i > 64 && x >= -1 && x <= 1 { // 0, 1 and -1 repeat themselves
			return integerPower(x, y%2+2)
		}
		n, _ := integer(z)
		var err error
		if z, err = integerOp("*", n, x); err != nil {
			return nil, err
		}
	}
	return z, nil
}

func floatOp(op string, x, y float64) (Value, error) {
	switch op {
	case "+":
		return Float(x + y), nil
	case "-":
		return Float(x - y), nil
	case "*":
		return Float(x * y), nil
	case "**":
		z := math.Pow(x, y)
		switch {
		case x == 0 && y < 0:
			return nil, errors.New("zero cannot be raised to a negative power")
		case math.IsNaN(z) && !math.IsNaN(x) && !math.IsNaN(y):
			return nil, errors.New("complex numbers are not supported")
		case math.IsInf(z, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0):
			return nil, errors.New("the power is too large")
		}
		return Float(z), nil
	}
	if y == 0 {
		return nil, errors.New("division by zero")
	}
	if op == "/" {
		return Float(x / y), nil
	}
	// As CPython computes both, from the exact remainder.
	rest := math.Mod(x, y)
	quotient := (x - rest) / y
	switch {
	case rest != 0 && (y < 0) != (rest < 0):
		rest += y
		quotient--
	case rest == 0:
		rest = math.Copysign(0, y)
	}
	if op == "%" {
		return Float(rest), nil
	}
	if quotient == 0 {
		return Float(math.Copysign(0, x/y)), nil
	}
	floor := math.Floor(quotient)
	if quotient-floor > 0.5 {
		floor++
	}
	return Float(floor), nil
}
