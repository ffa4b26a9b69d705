package jinja

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A writer writes values as text. It pays for the text, and stops at the first error.
type writer struct {
	r   *run
	out []byte
	err error
}

func (w *writer) add(s string) {
	if w.err != nil {
		return
	}
	if len(w.out)+len(s) > maxText {
		w.err = errTooLong
	} else if w.err = w.r.pay(len(s)); w.err == nil {
		w.out = append(w.out, s...)
	}
}

// str writes Python's str() of a value.
func (w *writer) str(v Value, depth int) error {
	if s, ok := text(v); ok {
		w.add(s)
	} else {
		w.repr(v, depth)
	}
	return w.err
}

// strOf returns Python's str() of a value.
func (r *run) strOf(v Value) (string, error) {
	if s, ok := text(v); ok {
		return s, nil
	}
	w := writer{r: r}
	err := w.str(v, 0)
	return string(w.out), err
}

// repr writes Python's repr() of a value. Undefined is written as nothing at depth 0.
func (w *writer) repr(v Value, depth int) {
	if depth > maxDepth && w.err == nil {
		w.err = errTooDeep
	}
	if w.err != nil {
		return
	}
	switch v := v.(type) {
	case *Undefined:
		if depth > 0 {
			w.add("Undefined")
		}
	case None:
		w.add("None")
	case Bool:
		w.add(map[Bool]string{true: "True", false: "False"}[v])
	case Int:
		w.add(strconv.Itoa(int(v)))
	case BigInt:
		w.add(string(v))
	case Float:
		w.add(floatText(float64(v)))
	case Str:
		w.add(quoted(string(v)))
	case Markup:
		w.add("Markup(" + quoted(string(v)) + ")")
	case *List:
		w.list(v, depth)
	case *Dict:
		w.dict(v, depth)
	case *Range:
		if v.step == 1 {
			w.add(fmt.Sprintf("range(%d, %d)", v.start, v.stop))
		} else {
			w.add(fmt.Sprintf("range(%d, %d, %d)", v.start, v.stop, v.step))
		}
	case *namespace:
		w.add("<Namespace ")
		w.dict(v.attrs, depth)
		w.add(">")
	case *loop:
		w.add(fmt.Sprintf("<LoopContext %d/%d>", v.at+1, v.items.len()))
	case *function:
		if v.macro {
			w.add("<Macro " + quoted(v.name) + ">")
		} else if w.err == nil {
			w.err = fmt.Errorf("the function %s cannot be written: call it", v.name)
		}
	case *iterator:
		if w.err == nil {
			w.err = errors.New("a generator cannot be written: add | list")
		}
	}
}

func (w *writer) list(l *List, depth int) {
	open, closing := "[", "]"
	switch {
	case l.isView():
		open, closing = l.typeName()+"([", "])"
	case l.isTuple() && len(l.items) == 1:
		open, closing = "(", ",)"
	case l.isTuple():
		open, closing = "(", ")"
	}
	w.add(open)
	for i, item := range l.items {
		if i > 0 {
			w.add(", ")
		}
		if w.repr(item, depth+1); w.err != nil {
			return
		}
	}
	w.add(closing)
}

func (w *writer) dict(d *Dict, depth int) {
	w.add("{")
	for i, k := range d.keys {
		if i > 0 {
			w.add(", ")
		}
		w.repr(k, depth+1)
		w.add(": ")
		if w.repr(d.values[i], depth+1); w.err != nil {
			return
		}
	}
	w.add("}")
}

// floatText is repr() of a float.
func floatText(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if size := math.Abs(f); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// quoted is repr() of a text.
func quoted(s string) string {
	quote := byte('\'')
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	out := append(make([]byte, 0, len(s)+2), quote)
	for _, c := range s {
		switch {
		case c == '\\' || c == rune(quote):
			out = append(out, '\\', byte(c))
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c == '\t':
			out = append(out, `\t`...)
		case unicode.IsPrint(c):
			out = utf8.AppendRune(out, c)
		case c < 0x100:
			out = fmt.Appendf(out, `\x%02x`, c)
		case c < 0x10000:
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = fmt.Appendf(out, `\U%08x`, c)
		}
	}
	return string(append(out, quote))
}
