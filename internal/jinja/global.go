package jinja

import (
	"errors"
	"fmt"
	"strings"
)

// globals are the functions that a template can call by name.
var globals = map[string]Value{
	"cycler":          &function{name: "cycler", call: newCycler},
	"dict":            dictFunction,
	"joiner":          &function{name: "joiner", call: newJoiner},
	"namespace":       &function{name: "namespace", call: newNamespace},
	"raise_exception": &function{name: "raise_exception", call: raise},
	"range":           &function{name: "range", call: newRange},
	"strftime_now":    &function{name: "strftime_now", call: strftimeNow},
}

// IsGlobal reports whether a function that templates can call has this name.
func IsGlobal(name string) bool { return globals[name] != nil }

func raise(r *run, a arguments) (Value, error) {
	p, err := a.bind("raise_exception", 1, "message")
	if err != nil {
		return nil, err
	}
	s, err := r.strOf(p[0])
	if err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("the template refuses the conversation: %s", s)
}

func newRange(_ *run, a arguments) (Value, error) {
	p, err := a.bind("range", 1, "/start", "/stop", "/step")
	if err != nil {
		return nil, err
	}
	at := [3]int{0, 0, 1}
	for i, v := range p {
		var ok bool
		if v == nil {
			continue
		}
		if at[i], ok = integer(v); !ok {
			return nil, fmt.Errorf("range: a value of type %s is not an integer", v.typeName())
		}
	}
	out := &Range{at[0], at[1], at[2], 0}
	if p[1] == nil {
		out.start, out.stop = 0, at[0]
	}
	if out.step == 0 {
		return nil, errors.New("range: the step is 0")
	}
	const far = 1 << 61 // so that no difference overflows
	if max(out.start, out.stop, out.step) > far || min(out.start, out.stop, out.step) < -far {
		return nil, fmt.Errorf("range: a bound is too large")
	}
	if out.step > 0 {
		out.n = max(0, (out.stop-out.start+out.step-1)/out.step)
	} else {
		out.n = max(0, (out.start-out.stop-out.step-1)/-out.step)
	}
	if out.n > maxRange {
		return nil, fmt.Errorf("range: more than %d numbers", maxRange)
	}
	return out, nil
}

// fillDict fills a dictionary from the arguments of dict() and namespace(): a dictionary or pairs,
// and named arguments.
func fillDict(r *run, title string, a arguments) (*Dict, error) {
	if len(a.positional) > 1 {
		return nil, fmt.Errorf("%s takes one value and named ones", title)
	}
	out := &Dict{}
	for _, v := range a.positional {
		if d, ok := v.(*Dict); ok {
			if err := r.payItems(2 * d.Len()); err != nil {
				return nil, err
			}
			out = d.copied()
			continue
		}
		items, err := r.items(v)
		if err != nil {
			return nil, err
		}
		for _, item := range items {
			pair, err := r.items(item)
			if err == nil && len(pair) != 2 {
				err = fmt.Errorf("%s wants pairs of a key and a value", title)
			}
			if err == nil {
				err = r.insert(out, pair[0], pair[1])
			}
			if err != nil {
				return nil, err
			}
		}
	}
	for i, name := range a.names {
		if err := r.insert(out, Str(name), a.named[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

var dictFunction = &function{
	name: "dict",
	call: func(r *run, a arguments) (Value, error) { return fillDict(r, "dict", a) },
	attr: func(name string) Value {
		if name == "fromkeys" {
			return &function{name: "dict.fromkeys", call: fromKeys}
		}
		return nil
	},
}

func fromKeys(r *run, a arguments) (Value, error) {
	p, err := a.bind("fromkeys", 1, "/iterable", "/value")
	if err != nil {
		return nil, err
	}
	items, err := r.items(p[0])
	if err != nil {
		return nil, err
	}
	if p[1] == nil {
		p[1] = None{}
	}
	out := &Dict{}
	for _, k := range items {
		if err := r.insert(out, k, p[1]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// privateName is the error for attributes that transformers lets no template set.
func privateName(name string) error {
	if strings.HasPrefix(name, "_") {
		return fmt.Errorf("a namespace cannot have the attribute %q", name)
	}
	return nil
}

func newNamespace(r *run, a arguments) (Value, error) {
	attrs, err := fillDict(r, "namespace", a)
	if err != nil {
		return nil, err
	}
	for _, k := range attrs.keys {
		s, _ := text(k)
		if err := privateName(s); err != nil {
			return nil, err
		}
	}
	return &namespace{attrs}, nil
}

// newJoiner returns a function that returns "" at first, and then the separator.
func newJoiner(_ *run, a arguments) (Value, error) {
	p, err := a.bind("joiner", 0, "sep")
	if err != nil {
		return nil, err
	}
	if p[0] == nil {
		p[0] = Str(", ")
	}
	used := false
	return &function{name: "joiner", call: func(*run, arguments) (Value, error) {
		if !used {
			used = true
			return Str(""), nil
		}
		return p[0], nil
	}}, nil
}

// newCycler returns an object whose next() cycles through values.
func newCycler(_ *run, a arguments) (Value, error) {
	if len(a.positional) == 0 || len(a.named) > 0 {
		return nil, errors.New("cycler wants values")
	}
	at := 0
	method := func(title string, f func() Value) Value {
		return &function{name: title, call: func(*run, arguments) (Value, error) { return f(), nil }}
	}
	next := func() Value {
		v := a.positional[at]
		at = (at + 1) % len(a.positional)
		return v
	}
	return &function{name: "cycler", call: func(*run, arguments) (Value, error) {
		return nil, errors.New("a cycler cannot be called")
	}, attr: func(name string) Value {
		switch name {
		case "next":
			return method("cycler.next", next)
		case "reset":
			return method("cycler.reset", func() Value { at = 0; return None{} })
		case "current":
			return a.positional[at]
		}
		return nil
	}}, nil
}

// dateLayouts are the directives of strftime in Go's terms.
var dateLayouts = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'b': "Jan",
	'h': "Jan", 'B': "January", 'a': "Mon", 'A': "Monday", 'I': "03", 'p': "PM", 'j': "002",
	'F': "2006-01-02", 'T': "15:04:05", 'D': "01/02/06", 'R': "15:04", 'e': "_2",
	'c': "Mon Jan _2 15:04:05 2006", 'x': "01/02/06", 'X': "15:04:05", 'Z': "", 'z': "",
}

func strftimeNow(r *run, a arguments) (Value, error) {
	p, err := a.bind("strftime_now", 1, "format")
	if err != nil {
		return nil, err
	}
	format, ok := text(p[0])
	if !ok {
		return nil, errors.New("strftime_now wants a format")
	}
	now := r.now()
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		c, bare := format[i], false
		if c == '-' && i+1 < len(format) {
			i++
			c, bare = format[i], true
		}
		layout, ok := dateLayouts[c]
		switch s := now.Format(layout); {
		case c == '%':
			out.WriteByte('%')
		case c == 'n' || c == 't':
			out.WriteByte(map[byte]byte{'n': '\n', 't': '\t'}[c])
		case c == 'f':
			fmt.Fprintf(&out, "%06d", now.Nanosecond()/1000)
		case !ok:
			return nil, fmt.Errorf("strftime_now: %%%c is not supported", c)
		case bare:
			if s = strings.TrimLeft(s, "0 "); s == "" {
				s = "0"
			}
			out.WriteString(s)
		default:
			out.WriteString(s)
		}
		if err := r.payText(out.Len()); err != nil {
			return nil, err
		}
	}
	return Str(out.String()), nil
}
