package pref

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A fieldError says which field of a row is wrong, what was seen and what was wanted.
type fieldError struct{ field, problem string }

func (e *fieldError) Error() string {
	return fmt.Sprintf("field %s: %s", quote(e.field), e.problem)
}

func wrong(field, format string, args ...any) error {
	return &fieldError{field, fmt.Sprintf(format, args...)}
}

// fields are the keys of a JSON object with their undecoded values. They note which keys were read,
// so that those that were not can be reported.
type fields struct {
	// path is where the object stands, "" for the row itself.
	path string
	// values has no key whose value is null: such a key counts as absent.
	values map[string]json.RawMessage
	nulls  []string // keys whose value is null
	// all is values before columns were put under other names.
	all map[string]json.RawMessage
	// columns is where a value stands that was put under another name: see Columns.
	columns map[string]column
	// general says that only the keys of the general forms tell the row's format.
	general bool
	graded  bool // columns that rate responses are named
	alone   bool // the prompt is read without columns that may belong to it
	row     *reading
}

// A reading notes what is read of a row.
type reading struct {
	read  map[string]bool // keys of the row
	extra map[string]bool // keys further inside, such as messages[].name, that were passed over
	marks []string        // of chat templates in the prompt, each once
	input bool            // the column of that name was read
}

// objectOf decodes a whole row.
func objectOf(data []byte) (*fields, error) {
	s := scanner{data: data}
	if c := s.peek(); c != '{' {
		if _, err := s.value(0); err == nil && s.end() == nil {
			return nil, fmt.Errorf("%s, want a JSON object", kind(data))
		}
		s.at = 0
		s.peek()
		return nil, invalid(s.unexpected("one JSON object"))
	}
	f, err := members(&s, "")
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, invalid(err)
	}
	f.all, f.row = f.values, &reading{read: map[string]bool{}}
	return f, nil
}

// invalid explains an error of the scanner.
func invalid(err error) error {
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("invalid JSON at byte %d of the row: %w, want one JSON object",
			syntax.offset, err)
	}
	return err
}

// members reads the object that the scanner stands at.
func members(s *scanner, path string) (*fields, error) {
	f := &fields{path: path, values: map[string]json.RawMessage{}}
	seen := 0
	err := s.object(0, func(m member) error {
		seen++
		if kind(m.value) == "null" {
			f.nulls = append(f.nulls, m.key)
		} else {
			f.values[m.key] = m.value
		}
		if seen != len(f.values)+len(f.nulls) || len(f.nulls) > 0 && f.twice(m.key) {
			return wrong(f.name(m.key), "the key comes twice, want it once")
		}
		return nil
	})
	return f, err
}

// twice reports whether a key that was just taken in stands among the nulls and once more.
func (f *fields) twice(key string) bool {
	_, has := f.values[key]
	first := slices.Index(f.nulls, key)
	return first >= 0 && (has || slices.Contains(f.nulls[first+1:], key))
}

// objectAt decodes an object inside the row.
func (f *fields) objectAt(raw json.RawMessage, field string) (*fields, error) {
	if kind(raw) != "an object" {
		return nil, wrong(field, "%s, want an object", kind(raw))
	}
	s := scanner{data: raw}
	s.peek()
	inner, err := members(&s, field)
	if err != nil {
		return nil, err
	}
	inner.row = f.row
	return inner, nil
}

// name is the field of a key in messages.
func (f *fields) name(key string) string {
	if column, ok := f.columns[key]; ok {
		return column.path
	}
	if f.path != "" {
		return f.path + "." + key
	}
	return key
}

func (f *fields) has(keys ...string) bool {
	for _, k := range keys {
		if _, ok := f.values[k]; !ok {
			return false
		}
	}
	return true
}

// note takes down that a key was read.
func (f *fields) note(key string) {
	if f.path != "" || f.row == nil {
		return
	}
	f.row.input = f.row.input || key == "input"
	if column, ok := f.columns[key]; ok {
		key = column.top
	}
	f.row.read[key] = true
}

// opt returns the value of a field that may be there.
func (f *fields) opt(key string) (json.RawMessage, bool) {
	v, ok := f.values[key]
	if ok {
		f.note(key)
	}
	return v, ok
}

// get returns the value of a field that must be there.
func (f *fields) get(key string) (json.RawMessage, error) {
	switch v, ok := f.opt(key); {
	case ok:
		return v, nil
	case slices.Contains(f.nulls, key):
		return nil, wrong(f.name(key), "null, want a value beside %s", f.keys())
	}
	return nil, wrong(f.name(key), "missing, want it beside %s", f.keys())
}

// object returns a field that must be there and be an object.
func (f *fields) object(key string) (*fields, error) {
	raw, err := f.get(key)
	if err != nil {
		return nil, err
	}
	return f.objectAt(raw, f.name(key))
}

// text returns a field that must be there and be text.
func (f *fields) text(key string) (string, error) {
	raw, err := f.get(key)
	if err != nil {
		return "", err
	}
	return textOf(raw, f.name(key))
}

// optional returns a field that is text where it is there.
func (f *fields) optional(key string) (string, error) {
	raw, ok := f.opt(key)
	if !ok {
		return "", nil
	}
	return textOf(raw, f.name(key))
}

// number returns a field that must be there and be a number.
func (f *fields) number(key string) (float64, error) {
	raw, err := f.get(key)
	if err != nil {
		return 0, err
	}
	return numberOf(raw, f.name(key))
}

// label returns the first of the keys that has a text or a number, as text; "" where none has.
func (f *fields) label(keys ...string) (string, error) {
	for _, k := range keys {
		switch v := f.values[k]; kind(v) {
		case "text":
			f.note(k)
			return textOf(v, f.name(k))
		case "a number":
			f.note(k)
			_, err := anyNumber(v, f.name(k))
			return string(v), err
		}
	}
	return "", nil
}

// keys lists the keys in messages.
func (f *fields) keys() string {
	if len(f.values) == 0 {
		return "no key at all"
	}
	return quoted(slices.Sorted(maps.Keys(f.values)))
}

// quoted lists names; a long list is cut.
func quoted(names []string) string {
	const most = 20
	var out []string
	for i, name := range names {
		if i == most {
			out = append(out, "…")
			break
		}
		out = append(out, quote(name))
	}
	return strings.Join(out, ", ")
}

// kind names the type of a JSON value, with its article.
func kind(raw json.RawMessage) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return "nothing"
	}
	switch raw[0] {
	case '"':
		return "text"
	case '[':
		return "a list"
	case '{':
		return "an object"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}
