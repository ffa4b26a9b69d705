package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// Values as templates see them: dictionaries are *exec.Dict, which keeps the order of keys, lists are jinjaList.

// A jinjaList is a list whose negative indices reach its first element, as in messages[-1] of a single message.
type jinjaList []any

// GetItem implements exec.ItemGetter.
func (l jinjaList) GetItem(key any) (*exec.Value, bool) {
	i, ok := key.(int)
	if ok && i < 0 {
		i += len(l)
	}
	if !ok || i < 0 || i >= len(l) {
		return exec.AsValue(nil), false
	}
	return exec.ToValue(l[i]), true
}

// asList makes a jinjaList of a slice.
func asList(v *exec.Value) *exec.Value {
	if v.IsError() || !v.IsList() {
		return v
	}
	list := jinjaList{}
	v.Iterate(func(_, _ int, item, _ *exec.Value) bool {
		list = append(list, item.Interface())
		return true
	}, func() {})
	return exec.AsValue(list)
}

// jinjaDict makes a dictionary of key, value, key, value, …
func jinjaDict(pairs ...any) *exec.Dict {
	d := exec.NewDict()
	for i := 0; i < len(pairs); i += 2 {
		d.Pairs = append(d.Pairs, &exec.Pair{Key: exec.AsValue(pairs[i]), Value: exec.AsValue(pairs[i+1])})
	}
	return d
}

// jinjaValue converts any Go value by way of its JSON form.
func jinjaValue(v any) (any, error) {
	switch v := v.(type) {
	case nil, bool, string, int, float64:
		return v, nil
	case []Message:
		list := make(jinjaList, len(v))
		for i, m := range v {
			list[i] = jinjaDict("role", m.Role, "content", m.Content)
		}
		return list, nil
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	out, err := decodeOrdered(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	return out, nil
}

// decodeOrdered reads a value from a decoder that has checked its nesting: encoding/json bounds it.
func decodeOrdered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case json.Number:
		if i, err := strconv.Atoi(v.String()); err == nil {
			return i, nil
		}
		return v.Float64()
	case json.Delim:
		if v == '[' {
			list := jinjaList{}
			for d.More() {
				item, err := decodeOrdered(d)
				if err != nil {
					return nil, err
				}
				list = append(list, item)
			}
			_, err := d.Token()
			return list, err
		}
		dict := exec.NewDict()
		at := map[string]int{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			item, err := decodeOrdered(d)
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			pair := &exec.Pair{Key: exec.AsValue(name), Value: exec.AsValue(item)}
			if i, ok := at[name]; ok {
				dict.Pairs[i] = pair
				continue
			}
			at[name] = len(dict.Pairs)
			dict.Pairs = append(dict.Pairs, pair)
		}
		_, err := d.Token()
		return dict, err
	}
	return token, nil
}

// pairs returns the entries of a dictionary in order.
func pairs(v *exec.Value) []*exec.Pair {
	if d, ok := v.Interface().(*exec.Dict); ok {
		return d.Pairs
	}
	var out []*exec.Pair
	for _, key := range v.Keys() {
		value, _ := v.GetItem(key.Interface())
		out = append(out, &exec.Pair{Key: key, Value: value})
	}
	return out
}

// A jsonWriter writes as Python's json.dumps.
type jsonWriter struct {
	out         strings.Builder
	indent      string // "": on one line
	ascii, sort bool
	item, key   string // separators
	depth       int
}

func (w *jsonWriter) line() {
	if w.indent != "" {
		w.out.WriteString("\n" + strings.Repeat(w.indent, w.depth)) // both are small
	}
}

func (w *jsonWriter) write(v *exec.Value) error {
	if w.out.Len() > textLimit {
		return errTooLong
	}
	if w.depth > maxDepth {
		return fmt.Errorf("tojson: nested deeper than %d", maxDepth)
	}
	switch {
	case v.IsError():
		return v
	case v.IsNil():
		w.out.WriteString("null")
	case v.IsBool():
		w.out.WriteString(strconv.FormatBool(v.Bool()))
	case v.IsInteger():
		w.out.WriteString(v.String())
	case v.IsFloat():
		w.out.WriteString(pythonFloat(v.Float()))
	case v.IsString():
		w.quote(v.String())
	case v.IsDict():
		entries := pairs(v)
		if w.sort {
			entries = sortedPairs(entries)
		}
		return w.sequence('{', '}', len(entries), func(i int) error {
			w.quote(entries[i].Key.String())
			w.out.WriteString(w.key)
			return w.write(entries[i].Value)
		})
	case v.IsList():
		return w.sequence('[', ']', v.Len(), func(i int) error { return w.write(v.Index(i)) })
	default:
		return fmt.Errorf("tojson: a value of type %v has no JSON form", reflect.TypeOf(v.Interface()))
	}
	return nil
}

func (w *jsonWriter) sequence(open, closing byte, n int, write func(i int) error) error {
	w.out.WriteByte(open)
	w.depth++
	for i := range n {
		if i > 0 {
			w.out.WriteString(w.item)
		}
		w.line()
		if err := write(i); err != nil {
			return err
		}
	}
	w.depth--
	if n > 0 {
		w.line()
	}
	w.out.WriteByte(closing)
	return nil
}

func (w *jsonWriter) quote(s string) {
	w.out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.out.WriteByte('\\')
			w.out.WriteRune(r)
		case r == '\n':
			w.out.WriteString(`\n`)
		case r == '\r':
			w.out.WriteString(`\r`)
		case r == '\t':
			w.out.WriteString(`\t`)
		case r == '\b':
			w.out.WriteString(`\b`)
		case r == '\f':
			w.out.WriteString(`\f`)
		case r < ' ' || w.ascii && r >= 0x7F && r <= 0xFFFF:
			fmt.Fprintf(&w.out, `\u%04x`, r)
		case w.ascii && r > 0xFFFF:
			fmt.Fprintf(&w.out, `\u%04x\u%04x`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
		default:
			w.out.WriteRune(r)
		}
	}
	w.out.WriteByte('"')
}

// pythonFloat is repr of a float.
func pythonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
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
