package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A method is a function of a value that stands before the dot.
type method struct {
	name string
	call func(r *run, self Value, a arguments) (Value, error)
}

// bind returns the method as a value.
func (m *method) bind(self Value) *function {
	return &function{name: m.name, call: func(r *run, a arguments) (Value, error) {
		return m.call(r, self, a)
	}}
}

// methodOf returns a method of a value, or nil.
func methodOf(v Value, name string) *method {
	switch v := v.(type) {
	case Str, Markup:
		return strMethods[name]
	case *Dict:
		return dictMethods[name]
	case *List:
		if !v.isView() && !(v.isTuple() && name == "copy") {
			return listMethods[name]
		}
	}
	return nil
}

// mutators are the methods of dictionaries that the sandbox hides.
var mutators = map[string]bool{
	"clear": true, "pop": true, "popitem": true, "setdefault": true, "update": true,
}

var dictMethods, listMethods, strMethods = map[string]*method{}, map[string]*method{},
	map[string]*method{}

func init() {
	for name, kind := range map[string]listKind{
		"keys": keysView, "values": valuesView, "items": itemsView,
	} {
		dictMethod(name, 0, nil, func(r *run, d *Dict, _ []Value) (Value, error) {
			return d.view(kind), r.payItems(2 * d.Len())
		})
	}
	dictMethod("copy", 0, nil, func(r *run, d *Dict, _ []Value) (Value, error) { return d, nil })
	dictMethod("get", 1, []string{"/key", "/default"},
		func(r *run, d *Dict, p []Value) (Value, error) {
			v, err := r.lookup(d, p[0])
			switch {
			case err != nil || v != nil:
				return v, err
			case p[1] != nil:
				return p[1], nil
			}
			return None{}, nil
		})
	listMethod("copy", 0, nil, func(r *run, l *List, _ []Value) (Value, error) { return l, nil })
	listMethod("count", 1, []string{"/value"}, func(r *run, l *List, p []Value) (Value, error) {
		n := 0
		for _, item := range l.items {
			if err := r.spend(1); err != nil {
				return nil, err
			}
			equal, err := r.equal(item, p[0], 0)
			if err != nil {
				return nil, err
			}
			if equal {
				n++
			}
		}
		return Int(n), nil
	})
	listMethod("index", 1, []string{"/value"}, func(r *run, l *List, p []Value) (Value, error) {
		for i, item := range l.items {
			if ok, err := r.among([]Value{item}, p[0]); ok || err != nil {
				return Int(i), err
			}
		}
		return nil, errors.New("index: the value is not in the list")
	})
	initStrMethods()
}

func dictMethod(name string, required int, params []string,
	f func(r *run, d *Dict, p []Value) (Value, error)) {
	dictMethods[name] = &method{name, func(r *run, self Value, a arguments) (Value, error) {
		p, err := a.bind(name, required, params...)
		if err != nil {
			return nil, err
		}
		d, _ := self.(*Dict)
		return f(r, d, p)
	}}
}

func listMethod(name string, required int, params []string,
	f func(r *run, l *List, p []Value) (Value, error)) {
	listMethods[name] = &method{name, func(r *run, self Value, a arguments) (Value, error) {
		p, err := a.bind(name, required, params...)
		if err != nil {
			return nil, err
		}
		l, _ := self.(*List)
		return f(r, l, p)
	}}
}

// strMethod adds a method of texts. Params has the parameters' names with spaces between them. What
// the method looks through and the text that it returns are paid for here; where it can return a
// longer text than it gets, it checks that before.
func strMethod(name string, required int, params string,
	f func(r *run, s string, p []Value) (Value, error)) {
	titles := strings.Fields(params)
	strMethods[name] = &method{name, func(r *run, self Value, a arguments) (Value, error) {
		s, _ := text(self)
		p, err := a.bind(name, required, titles...)
		if err != nil {
			return nil, err
		}
		r.scan(len(s))
		v, err := f(r, s, p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out, ok := v.(Str)
		if !ok {
			return v, nil
		}
		return like(self, string(out)), r.payText(len(out))
	}}
}

// strArg returns a text argument.
func strArg(v Value) (string, error) {
	s, ok := text(v)
	if !ok {
		return "", fmt.Errorf("want a text, not a value of type %s", v.typeName())
	}
	return s, nil
}

// intArg returns an integer argument, or fallback for a missing one.
func intArg(v Value, fallback int) (int, error) {
	if v == nil {
		return fallback, nil
	}
	i, ok := integer(v)
	if !ok {
		return 0, fmt.Errorf("want an integer, not a value of type %s", v.typeName())
	}
	return i, nil
}

// splitMethod is str.split or str.rsplit.
func splitMethod(fromRight bool) func(r *run, s string, p []Value) (Value, error) {
	return func(r *run, s string, p []Value) (Value, error) {
		limit, err := intArg(p[1], -1)
		if err != nil {
			return nil, err
		}
		var parts []string
		if p[0] == nil || p[0] == (None{}) {
			if err := r.pay(itemSize * (len(s)/2 + 1)); err != nil {
				return nil, err
			}
			parts = fields(s, limit, fromRight)
		} else {
			sep, err := strArg(p[0])
			if err != nil {
				return nil, err
			}
			if sep == "" {
				return nil, errors.New("the separator is empty")
			}
			if err := r.payItems(strings.Count(s, sep) + 1); err != nil {
				return nil, err
			}
			parts = splitBy(s, sep, limit, fromRight)
		}
		return strList(r, parts)
	}
}

func strList(r *run, parts []string) (Value, error) {
	out := make([]Value, len(parts))
	for i, part := range parts {
		out[i] = Str(part)
	}
	return &List{items: out}, r.payItems(len(out))
}

// fields splits at white space, at most limit times unless that is negative.
func fields(s string, limit int, fromRight bool) []string {
	if limit < 0 {
		return strings.FieldsFunc(s, isSpace)
	}
	var out []string
	if fromRight {
		for s = strings.TrimRightFunc(s, isSpace); s != ""; s = strings.TrimRightFunc(s, isSpace) {
			i := strings.LastIndexFunc(s, isSpace)
			if i < 0 || len(out) == limit {
				out = append(out, s)
				break
			}
			_, n := utf8.DecodeRuneInString(s[i:])
			out = append(out, s[i+n:])
			s = s[:i]
		}
		slices.Reverse(out)
		return out
	}
	for s = strings.TrimLeftFunc(s, isSpace); s != ""; s = strings.TrimLeftFunc(s, isSpace) {
		i := strings.IndexFunc(s, isSpace)
		if i < 0 || len(out) == limit {
			return append(out, s)
		}
		out = append(out, s[:i])
		s = s[i:]
	}
	return out
}

func splitBy(s, sep string, limit int, fromRight bool) []string {
	switch {
	case limit < 0:
		return strings.Split(s, sep)
	case !fromRight:
		return strings.SplitN(s, sep, min(limit, len(s))+1)
	}
	var out []string
	for ; limit > 0; limit-- {
		i := strings.LastIndex(s, sep)
		if i < 0 {
			break
		}
		out = append(out, s[i+len(sep):])
		s = s[:i]
	}
	out = append(out, s)
	slices.Reverse(out)
	return out
}

// splitLines splits at Python's line boundaries.
func splitLines(s string, keep bool) []string {
	var out []string
	for s != "" {
		end := strings.IndexFunc(s, func(c rune) bool {
			return c >= '\n' && c <= '\r' || c >= 0x1C && c <= 0x1E || c == 0x85 || c == 0x2028 ||
				c == 0x2029
		})
		if end < 0 {
			return append(out, s)
		}
		_, n := utf8.DecodeRuneInString(s[end:])
		if strings.HasPrefix(s[end:], "\r\n") {
			n = 2
		}
		if keep {
			out = append(out, s[:end+n])
		} else {
			out = append(out, s[:end])
		}
		s = s[end+n:]
	}
	return out
}

// replaced is str.replace. It checks the length of the result before it is made.
func (r *run) replaced(s, from, to string, count int) (string, error) {
	n := strings.Count(s, from)
	if count >= 0 {
		n = min(n, count)
	}
	if n > 0 && len(to) > len(from) && n > maxText/(len(to)-len(from)) {
		return "", errTooLong
	}
	if err := r.payText(len(s) + n*(len(to)-len(from))); err != nil {
		return "", err
	}
	return strings.Replace(s, from, to, count), nil
}

// span returns the part of s between two arguments of characters, and where it begins. It is not
// ok where Python finds nothing, not even the empty text.
func span(s string, start, end Value) (part string, first int, ok bool, err error) {
	if start == nil && end == nil {
		return s, 0, true, nil
	}
	n := utf8.RuneCountInString(s)
	at := [2]int{0, n}
	for i, v := range []Value{start, end} {
		if v == nil || v == (None{}) {
			continue
		}
		if at[i], err = intArg(v, 0); err != nil {
			return "", 0, false, err
		}
		if at[i] < 0 {
			at[i] = max(at[i]+n, 0)
		}
	}
	at[1] = min(at[1], n)
	if at[0] > at[1] {
		return "", 0, false, nil
	}
	begin := byteIndex(s, at[0])
	return s[begin : begin+byteIndex(s[begin:], at[1]-at[0])], at[0], true, nil
}
