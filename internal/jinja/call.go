package jinja

import (
	"fmt"
	"slices"
	"strings"
)

// argExprs are a call's arguments in the source.
type argExprs struct {
	positional       []expr
	names            []string
	named            []expr
	star, doubleStar expr // nil, or of *list and **dictionary
}

// arguments are a call's arguments.
type arguments struct {
	positional []Value
	names      []string
	named      []Value
}

func (a *argExprs) eval(r *run, s *scope) (arguments, error) {
	var out arguments
	var err error
	if out.positional, err = r.evalAll(a.positional, s); err != nil {
		return out, err
	}
	if out.named, err = r.evalAll(a.named, s); err != nil {
		return out, err
	}
	out.names = a.names
	if a.star != nil {
		v, err := r.eval(a.star, s)
		if err != nil {
			return out, err
		}
		items, err := r.items(v)
		if err != nil {
			return out, err
		}
		if err := r.payItems(len(items)); err != nil {
			return out, err
		}
		out.positional = append(out.positional, items...)
	}
	if a.doubleStar == nil {
		return out, nil
	}
	v, err := r.eval(a.doubleStar, s)
	if err != nil {
		return out, err
	}
	d, ok := v.(*Dict)
	if !ok {
		return out, fmt.Errorf("the argument after ** is of type %s", v.typeName())
	}
	if err := r.payItems(d.Len()); err != nil {
		return out, err
	}
	out.names = slices.Clone(out.names)
	for i, k := range d.keys {
		title, ok := text(k)
		if !ok || slices.Contains(a.names, title) {
			return out, fmt.Errorf("the argument after ** has a key that cannot be passed")
		}
		out.names, out.named = append(out.names, title), append(out.named, d.values[i])
	}
	return out, nil
}

func (r *run) evalAll(list []expr, s *scope) ([]Value, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make([]Value, len(list))
	for i, e := range list {
		v, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// bind assigns the arguments to a function's parameters; nil means not given. The first required
// parameters must be given. A parameter whose name begins with / is positional only.
func (a arguments) bind(function string, required int, params ...string) ([]Value, error) {
	if len(a.positional) > len(params) {
		return nil, fmt.Errorf("%s takes at most %d arguments, %d are given", function,
			len(params), len(a.positional))
	}
	out := make([]Value, len(params))
	copy(out, a.positional)
	for i, title := range a.names {
		at := slices.Index(params, title)
		if at < 0 {
			return nil, fmt.Errorf("%s has no argument %q", function, title)
		}
		if out[at] != nil {
			return nil, fmt.Errorf("%s gets its argument %q twice", function, title)
		}
		out[at] = a.named[i]
	}
	for i := range required {
		if out[i] == nil {
			return nil, fmt.Errorf("%s wants an argument %q", function, strings.TrimPrefix(params[i], "/"))
		}
	}
	return out, nil
}

type parameter struct {
	name     string
	id       int
	fallback expr // nil: undefined
}

// A macro is a macro's definition, or the body of a {% call %}.
type macro struct {
	name   string
	params []parameter
	body   body
	extras [len(extraNames)]extra
}

// extraNames are variables of a macro with the arguments beyond its parameters.
var extraNames = [...]string{"varargs", "kwargs", "caller"}

// An extra records whether a macro's source names one of extraNames; only then does the macro
// accept such arguments.
type extra struct {
	id   int
	used bool
}

// bind returns a macro as a value that sees the variables of its defining scope.
func (m *macro) bind(around *scope) *function {
	f := &function{name: m.name, macro: true}
	f.call = func(r *run, a arguments) (Value, error) { return m.run(r, around, a) }
	f.attr = func(name string) Value {
		switch name {
		case "name":
			return Str(m.name)
		case "arguments":
			out := newTuple()
			for _, p := range m.params {
				out.items = append(out.items, Str(p.name))
			}
			return out
		}
		return nil
	}
	return f
}

func (m *macro) run(r *run, around *scope, a arguments) (Value, error) {
	if err := r.enterMacro(); err != nil {
		return nil, err
	}
	defer r.leaveMacro()
	s := newScope(around)
	n := min(len(a.positional), len(m.params))
	for i := range n {
		r.set(s, m.params[i].id, a.positional[i])
	}
	rest := newTuple(a.positional[n:]...)
	others := &Dict{}
	var caller Value = &Undefined{"caller"}
	given := make([]bool, len(m.params))
	for i, title := range a.names {
		at := slices.IndexFunc(m.params, func(p parameter) bool { return p.name == title })
		switch {
		case at >= 0 && at < n || at >= 0 && given[at]:
			return nil, fmt.Errorf("the macro %q gets its argument %q twice", m.name, title)
		case at >= 0:
			given[at] = true
			r.set(s, m.params[at].id, a.named[i])
		case title == "caller":
			caller = a.named[i]
		default:
			others.Set(title, a.named[i])
		}
	}
	for i := n; i < len(m.params); i++ {
		if given[i] {
			continue
		}
		p := m.params[i]
		var v Value = &Undefined{fmt.Sprintf("the argument %q", p.name)}
		if p.fallback != nil {
			var err error
			if v, err = r.eval(p.fallback, s); err != nil {
				return nil, err
			}
		}
		r.set(s, p.id, v)
	}
	over := [...]bool{len(rest.items) > 0, others.Len() > 0, !isUndefined(caller)}
	for i, v := range []Value{rest, others, caller} {
		if m.extras[i].used {
			r.set(s, m.extras[i].id, v)
		} else if over[i] {
			return nil, fmt.Errorf("the macro %q takes no %s", m.name, extraNames[i])
		}
	}
	return r.capture(func() error {
		_, err := m.body.exec(r, s)
		return err
	})
}

func (r *run) enterMacro() error {
	if r.calls++; r.calls > maxMacroDepth {
		return fmt.Errorf("macros call each other more than %d deep", maxMacroDepth)
	}
	return nil
}

func (r *run) leaveMacro() { r.calls-- }

// invoke calls a value.
func (r *run) invoke(v Value, a arguments) (Value, error) {
	switch v := v.(type) {
	case *function:
		return v.call(r, a)
	case *loop:
		return v.again(r, a)
	case *Undefined:
		return nil, v.err()
	}
	return nil, fmt.Errorf("a value of type %s cannot be called", v.typeName())
}
