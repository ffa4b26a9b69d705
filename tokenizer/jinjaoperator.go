package tokenizer

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// operators are the names of the filters that stand for operators whose rules in gonja are not Python's, or that make
// long values of short ones.
var operators = map[tokens.Type]string{
	tokens.Addition: " +", tokens.Multiply: " *", tokens.Tilde: " ~", tokens.FloorDivision: " //", tokens.Modulo: " %", tokens.Division: " /",
}

// operatorFilters are Python's operators as filters of the left side with the right one as argument.
var operatorFilters = map[string]exec.FilterFunction{
	" +": operator(add), " *": operator(multiply), " ~": operator(join),
	" //": operator(func(b *budget, l, r *exec.Value) (any, error) { return divide(l, r, "//") }),
	" %":  operator(func(b *budget, l, r *exec.Value) (any, error) { return divide(l, r, "%") }),
	" /":  operator(func(b *budget, l, r *exec.Value) (any, error) { return divide(l, r, "/") }),
}

func operator(f func(b *budget, left, right *exec.Value) (any, error)) exec.FilterFunction {
	return func(e *exec.Evaluator, left *exec.Value, params *exec.VarArgs) *exec.Value {
		if left.IsError() {
			return left
		}
		out, err := f(budgetOf(e.Environment), left, params.First())
		if err != nil {
			return exec.AsValue(err)
		}
		return exec.AsValue(out)
	}
}

// kindOf names a value's type as Python does.
func kindOf(v *exec.Value) string {
	switch {
	case v.IsNil():
		return "none or undefined"
	case v.IsBool():
		return "a boolean"
	case v.IsString():
		return "a text"
	case v.IsInteger(), v.IsFloat():
		return "a number"
	case v.IsDict():
		return "a dictionary"
	case v.IsList():
		return "a list"
	}
	return fmt.Sprintf("a %T", v.Interface())
}

// asInteger is the value of an integer or a boolean.
func asInteger(v *exec.Value) (int, bool) {
	switch {
	case v.IsBool():
		if v.Bool() {
			return 1, true
		}
		return 0, true
	case v.IsInteger():
		return v.Integer(), true
	}
	return 0, false
}

func asNumber(v *exec.Value) (float64, bool) {
	if i, ok := asInteger(v); ok {
		return float64(i), true
	}
	return v.Float(), v.IsFloat()
}

func add(b *budget, l, r *exec.Value) (any, error) {
	if l.IsString() && r.IsString() {
		left, right := l.String(), r.String()
		if len(left)+len(right) > textLimit {
			return nil, errTooLong
		}
		if err := b.pay(len(left) + len(right)); err != nil {
			return nil, err
		}
		return left + right, nil
	}
	if isSequence(l) && isSequence(r) {
		if err := b.pay(itemSize * (l.Len() + r.Len())); err != nil {
			return nil, err
		}
		list := make(jinjaList, 0, l.Len()+r.Len())
		for _, from := range []*exec.Value{l, r} {
			from.Iterate(func(_, _ int, item, _ *exec.Value) bool {
				list = append(list, item.Interface())
				return true
			}, func() {})
		}
		return list, nil
	}
	if x, ok := asInteger(l); ok {
		if y, ok := asInteger(r); ok {
			return x + y, nil
		}
	}
	x, okLeft := asNumber(l)
	y, okRight := asNumber(r)
	if !okLeft || !okRight {
		return nil, fmt.Errorf("%s and %s cannot be added", kindOf(l), kindOf(r))
	}
	return x + y, nil
}

func isSequence(v *exec.Value) bool { return v.IsList() && !v.IsString() && !v.IsDict() }

var errTooLong = fmt.Errorf("the template makes a text of more than %d MB: it was stopped", textLimit>>20)

func multiply(b *budget, l, r *exec.Value) (any, error) {
	if l.IsString() || isSequence(l) {
		l, r = r, l
	}
	n, ok := asInteger(l)
	switch {
	case ok && r.IsString():
		text := r.String()
		n = max(n, 0)
		if len(text) > 0 && n > textLimit/len(text) {
			return nil, errTooLong
		}
		if err := b.pay(n * len(text)); err != nil {
			return nil, err
		}
		return strings.Repeat(text, n), nil
	case ok && isSequence(r):
		n = max(n, 0)
		if r.Len() > 0 && n > listLimit/r.Len() {
			return nil, fmt.Errorf("the template makes a list of more than %d elements: it was stopped", listLimit)
		}
		if err := b.pay(itemSize * n * r.Len()); err != nil {
			return nil, err
		}
		list := make(jinjaList, 0, n*r.Len())
		for range n {
			r.Iterate(func(_, _ int, item, _ *exec.Value) bool {
				list = append(list, item.Interface())
				return true
			}, func() {})
		}
		return list, nil
	}
	if m, both := asInteger(r); ok && both {
		return n * m, nil
	}
	x, okLeft := asNumber(l)
	y, okRight := asNumber(r)
	if !okLeft || !okRight {
		return nil, fmt.Errorf("%s and %s cannot be multiplied", kindOf(r), kindOf(l))
	}
	return x * y, nil
}

// join is ~: both sides as text.
func join(b *budget, l, r *exec.Value) (any, error) {
	left, err := checkText(l)
	if err != nil {
		return nil, err
	}
	right, err := checkText(r)
	if err != nil {
		return nil, err
	}
	if left+right > textLimit {
		return nil, errTooLong
	}
	if err := b.pay(left + right); err != nil {
		return nil, err
	}
	return l.String() + r.String(), nil
}

// divide is /, // and %, the latter two rounded down.
func divide(l, r *exec.Value, sign string) (any, error) {
	x, okLeft := asNumber(l)
	y, okRight := asNumber(r)
	if !okLeft || !okRight {
		return nil, fmt.Errorf("%s %s %s is not supported", kindOf(l), sign, kindOf(r))
	}
	if y == 0 {
		return nil, errors.New("division by zero")
	}
	n, whole := asInteger(l)
	m, both := asInteger(r)
	switch {
	case sign == "/":
		return x / y, nil
	case whole && both && sign == "//":
		q := n / m
		if n%m != 0 && (n < 0) != (m < 0) {
			q--
		}
		return q, nil
	case whole && both:
		rest := n % m
		if rest != 0 && (rest < 0) != (m < 0) {
			rest += m
		}
		return rest, nil
	case sign == "//":
		return math.Floor(x / y), nil
	}
	return x - y*math.Floor(x/y), nil
}

// builtinFilters are gonja's filters that templates of models use. Of the others some are random, and some make long
// texts of short ones in ways that are not bounded here.
var builtinFilters = strings.Fields(`abs attr batch capitalize center count d default dictsort e escape first float forceescape indent int
	join last length list lower map max min reject rejectattr replace reverse round safe select selectattr slice sort string sum title
	unique upper wordcount`)

// guardedFilters are filters that can make a long text of a short one; the guard tells before how long it will be.
var guardedFilters = map[string]func(in *exec.Value, params *exec.VarArgs) int{
	"join": func(in *exec.Value, params *exec.VarArgs) int {
		n := textSize(in, textLimit)
		if sep := argument(params, 0, "d"); sep != nil && isSequence(in) {
			n += in.Len() * textSize(sep, textLimit)
		}
		return n
	},
	"replace": func(in *exec.Value, params *exec.VarArgs) int {
		return replacedSize(in.String(), argument(params, 0, "old"), argument(params, 1, "new"))
	},
	"indent": func(in *exec.Value, params *exec.VarArgs) int {
		width := 4
		if w := argument(params, 0, "width"); w != nil {
			if width = textSize(w, textLimit); w.IsInteger() {
				width = max(w.Integer(), 0)
			}
		}
		return product(strings.Count(in.String(), "\n")+1, width) + len(in.String())
	},
	"center": func(in *exec.Value, params *exec.VarArgs) int {
		if w := argument(params, 0, "width"); w != nil && w.IsInteger() {
			return max(w.Integer(), 0)
		}
		return 80
	},
	"string": sizeOfInput, "trim": sizeOfInput, "lower": sizeOfInput, "upper": sizeOfInput, "title": sizeOfInput, "capitalize": sizeOfInput,
	"e": sizeOfInput, "escape": sizeOfInput, "forceescape": sizeOfInput, "safe": sizeOfInput, "wordcount": sizeOfInput, "sum": sizeOfInput,
	"batch": countOf, "slice": countOf,
}

func sizeOfInput(in *exec.Value, _ *exec.VarArgs) int { return textSize(in, textLimit) }

// countOf is the argument of batch and slice: so many places may be filled up.
func countOf(_ *exec.Value, params *exec.VarArgs) int {
	n := argument(params, 0, "count")
	if n == nil || !n.IsInteger() {
		return 0
	}
	return product(max(n.Integer(), 0), itemSize)
}

// product is a product that does not overflow.
func product(a, b int) int {
	if b > 0 && a > math.MaxInt32*1024/b {
		return math.MaxInt32 * 1024
	}
	return a * b
}

// replacedSize is about how long a text becomes.
func replacedSize(s string, from, to *exec.Value) int {
	if from == nil || to == nil {
		return len(s)
	}
	return len(s) + product(strings.Count(s, from.String()), textSize(to, textLimit))
}

// guarded refuses what would be too long before it is made.
func guarded(filter exec.FilterFunction, size func(in *exec.Value, params *exec.VarArgs) int) exec.FilterFunction {
	return func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
		if in.IsError() {
			return in
		}
		if _, err := checkText(in); err != nil {
			return exec.AsValue(err)
		}
		n := size(in, params)
		if n > textLimit {
			return exec.AsValue(errTooLong)
		}
		if err := budgetOf(e.Environment).pay(n); err != nil {
			return exec.AsValue(err)
		}
		return filter(e, in, params)
	}
}
