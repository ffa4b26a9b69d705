package pref

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Columns name the columns of a file whose names differ from those of the format. A value is the
// name of a column, or a dotted path into objects, such as chosen.text. "" is the format's own
// name, and [NoColumn] reads no column.
type Columns struct {
	Prompt, Chosen, Rejected, Responses, Scores, Completion, Label, Margin, Input, System, Tools, ID,
	Subset string
}

// NoColumn as a value of [Columns] leaves the column of that name unread.
const NoColumn = "-"

// A column is where a value stands.
type column struct {
	path string // as it is named
	top  string // the key of the row that leads to it
}

// UnmarshalText implements [encoding.TextUnmarshaler] for a list such as
// "prompt=question,chosen=answers.best".
func (c *Columns) UnmarshalText(text []byte) error {
	v := reflect.ValueOf(c).Elem()
	for _, pair := range strings.Split(string(text), ",") {
		name, path, ok := strings.Cut(pair, "=")
		name, path = strings.TrimSpace(name), strings.TrimSpace(path)
		i := slices.Index(columnNames, name)
		switch {
		case !ok || path == "":
			return fmt.Errorf("%s gives no column, want NAME=COLUMN, or NAME=%s to read none",
				quote(pair), NoColumn)
		case i < 0:
			return fmt.Errorf("there is no column %s, want one of %s", quote(name),
				strings.Join(columnNames, ", "))
		case v.Field(i).String() != "":
			return fmt.Errorf("the column %s is given twice", quote(name))
		}
		v.Field(i).SetString(path)
	}
	return nil
}

// columnNames are the names of the fields of [Columns], in their order.
var columnNames = []string{"prompt", "chosen", "rejected", "responses", "scores", "completion",
	"label", "margin", "input", "system", "tools", "id", "subset"}

// content are the columns that make the group: where one of them is named, the keys of published
// sets no longer tell the format.
const content = 7

// generalKeys are those that tell the format of a row whose columns are named.
var generalKeys = append([]string{"comparisons", "response", "messages"}, columnNames[:content]...)

// named lists the columns that are named, by haf's name for them.
func (c Columns) named() map[string]string {
	v := reflect.ValueOf(c)
	named := map[string]string{}
	for i, name := range columnNames {
		if path := v.Field(i).String(); path != "" {
			named[name] = path
		}
	}
	return named
}

// apply puts the named columns under haf's names for them.
func (f *fields) apply(named map[string]string) error {
	if len(named) == 0 {
		return nil
	}
	moved := maps.Clone(f.values)
	columns := map[string]column{}
	for name, path := range named {
		delete(moved, path)
		delete(moved, name)
		f.general = f.general || path != NoColumn && slices.Index(columnNames, name) < content
	}
	for name, path := range named {
		if path == NoColumn {
			f.alone = f.alone || name == "input"
			continue
		}
		raw, top, err := f.lookup(path)
		if err != nil {
			return err
		}
		columns[name] = column{path, top}
		switch {
		case raw != nil:
			moved[name] = raw
		case slices.Index(columnNames, name) < content:
			return wrong(path, "missing or null, want the %s beside %s", name, f.keys())
		}
	}
	f.values, f.columns = moved, columns
	return nil
}

// lookup returns the value at a dotted path and the key that leads to it; nil where there is none.
// A key with dots in it comes before a path.
func (f *fields) lookup(path string) (raw json.RawMessage, top string, err error) {
	if raw, ok := f.values[path]; ok {
		return raw, path, nil
	}
	top, rest, dotted := strings.Cut(path, ".")
	raw, ok := f.values[top]
	if !dotted || !ok {
		return nil, top, nil
	}
	inner, err := f.objectAt(raw, f.name(top))
	if err != nil {
		return nil, top, err
	}
	raw, _, err = inner.lookup(rest)
	return raw, top, err
}
