package jinja

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// FromJSON returns the value of a JSON text. Objects keep the order of their keys; where a key
// comes twice, the last value counts.
func FromJSON(data []byte) (Value, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decode(d)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return v, nil
}

// decode reads a value. The decoder bounds its nesting.
func decode(d *json.Decoder) (Value, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case nil:
		return None{}, nil
	case bool:
		return Bool(v), nil
	case string:
		return Str(v), nil
	case json.Number:
		return decodeNumber(v)
	case json.Delim:
		if v == '[' {
			list := NewList()
			for d.More() {
				item, err := decode(d)
				if err != nil {
					return nil, err
				}
				list.items = append(list.items, item)
			}
			_, err := d.Token()
			return list, err
		}
		dict := NewDict()
		for d.More() {
			k, err := d.Token()
			if err != nil {
				return nil, err
			}
			item, err := decode(d)
			if err != nil {
				return nil, err
			}
			if title, ok := k.(string); ok {
				dict.Set(title, item)
			}
		}
		_, err := d.Token()
		return dict, err
	}
	return nil, fmt.Errorf("unexpected %v", token)
}

func decodeNumber(n json.Number) (Value, error) {
	if i, err := strconv.Atoi(n.String()); err == nil {
		return Int(i), nil
	}
	if !strings.ContainsAny(n.String(), ".eE") {
		return BigInt(n.String()), nil
	}
	f, err := n.Float64()
	return Float(f), err
}

// A jsonWriter writes as Python's json.dumps.
type jsonWriter struct {
	writer
	ascii, sort, pretty bool
	indent              string
	item, key           string // separators
}

// filterToJSON is transformers' tojson: json.dumps with its options, not escaped for HTML.
func filterToJSON(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("tojson", 0, "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{writer: writer{r: r}, item: ", ", key: ": ",
		ascii: p[0] != nil && truth(p[0]), sort: p[3] != nil && truth(p[3])}
	if p[1] != nil && p[1] != (None{}) {
		w.pretty, w.item = true, ","
		n, ok := integer(p[1])
		if s, isText := text(p[1]); isText {
			w.indent = s
		} else if ok && n <= 1<<16 {
			w.indent = strings.Repeat(" ", max(n, 0))
		} else {
			return nil, errors.New("tojson: indent wants a text or a number of spaces")
		}
	}
	if p[2] != nil && p[2] != (None{}) {
		items, err := r.items(p[2])
		if err != nil || len(items) != 2 {
			return nil, errors.New("tojson: separators is not a pair")
		}
		var ok, both bool
		w.item, ok = text(items[0])
		w.key, both = text(items[1])
		if !ok || !both {
			return nil, errors.New("tojson: separators is not a pair of texts")
		}
	}
	w.write(v, 0)
	return Str(w.out), w.err
}

func (w *jsonWriter) line(depth int) {
	if !w.pretty {
		return
	}
	w.add("\n")
	for range depth {
		w.add(w.indent)
	}
}

func (w *jsonWriter) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *jsonWriter) write(v Value, depth int) {
	if depth > maxDepth {
		w.fail(errTooDeep)
	}
	if w.err != nil {
		return
	}
	switch v := v.(type) {
	case Str:
		w.quote(string(v))
	case Markup:
		w.quote(string(v))
	case *Dict:
		w.object(v, depth)
	case *List:
		if v.isView() {
			w.fail(fmt.Errorf("tojson: a value of type %s has no JSON form", v.typeName()))
			return
		}
		w.sequence("[", "]", len(v.items), depth, func(i int) { w.write(v.items[i], depth+1) })
	default:
		s, err := jsonScalar(v)
		if err != nil {
			w.fail(err)
		}
		w.add(s)
	}
}

// jsonScalar writes a value that is neither a text nor a container, also as a key.
func jsonScalar(v Value) (string, error) {
	switch v := v.(type) {
	case None:
		return "null", nil
	case Bool:
		return strconv.FormatBool(bool(v)), nil
	case Int:
		return strconv.Itoa(int(v)), nil
	case BigInt:
		return string(v), nil
	case Float:
		return strings.NewReplacer("inf", "Infinity", "nan", "NaN").Replace(floatText(float64(v))), nil
	case *Undefined:
		return "", v.err()
	}
	return "", fmt.Errorf("tojson: a value of type %s has no JSON form", v.typeName())
}

func (w *jsonWriter) object(d *Dict, depth int) {
	order := make([]int, d.Len())
	for i := range order {
		order[i] = i
	}
	if w.sort {
		slices.SortStableFunc(order, func(i, j int) int {
			o, err := w.r.order("<", d.keys[i], d.keys[j], 0)
			if err != nil {
				w.fail(err)
			}
			return int(o) - int(same)
		})
	}
	w.sequence("{", "}", len(order), depth, func(i int) {
		k := d.keys[order[i]]
		s, ok := text(k)
		if !ok {
			var err error
			if s, err = jsonScalar(k); err != nil {
				w.fail(err)
			}
		}
		w.quote(s)
		w.add(w.key)
		w.write(d.values[order[i]], depth+1)
	})
}

func (w *jsonWriter) sequence(open, closing string, n, depth int, write func(i int)) {
	w.add(open)
	for i := range n {
		if i > 0 {
			w.add(w.item)
		}
		w.line(depth + 1)
		if write(i); w.err != nil {
			return
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.add(closing)
}

var jsonEscapes = map[rune]string{
	'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`,
}

func (w *jsonWriter) quote(s string) {
	w.add(`"`)
	begin := 0 // of what needs no escape
	for i, n := 0, 0; i < len(s); i += n {
		var c rune
		c, n = utf8.DecodeRuneInString(s[i:])
		if c >= ' ' && c != '"' && c != '\\' && (!w.ascii || c < 0x7F) {
			continue
		}
		w.add(s[begin:i])
		begin = i + n
		if short, ok := jsonEscapes[c]; ok {
			w.add(short)
		} else if c > 0xFFFF {
			high, low := utf16.EncodeRune(c)
			w.add(fmt.Sprintf(`\u%04x\u%04x`, high, low))
		} else {
			w.add(fmt.Sprintf(`\u%04x`, c))
		}
		if w.err != nil {
			return
		}
	}
	w.add(s[begin:])
	w.add(`"`)
}
