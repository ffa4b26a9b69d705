package pref

import (
	"errors"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
)

// times are the columns of a table that hold times, by their dotted path, each with the name of its
// type. JSON has no form for them: their values are text.
type times map[string]string

// explain names the type of a time where a row's error calls it text.
func (t times) explain(err error) error {
	var at *fieldError
	if len(t) == 0 || !errors.As(err, &at) {
		return err
	}
	name := t[withoutIndices(at.field)]
	if _, wanted, ok := strings.Cut(at.problem, ", want "); ok && name != "" {
		at.problem = name + ", want " + wanted
	}
	return err
}

// withoutIndices is the column of a field such as scores[3].
func withoutIndices(field string) string {
	var path strings.Builder
	for {
		head, rest, ok := strings.Cut(field, "[")
		path.WriteString(head)
		if !ok {
			return path.String()
		}
		if _, field, ok = strings.Cut(rest, "]"); !ok {
			return path.String()
		}
	}
}

// addFields takes in the times among the fields of a schema, whose paths begin with above.
func (t times) addFields(fields []arrow.Field, above string) {
	for _, field := range fields {
		t.add(field.Type, above+field.Name)
	}
}

func (t times) add(of arrow.DataType, path string) {
	switch of := of.(type) {
	case *arrow.StructType:
		t.addFields(of.Fields(), path+".")
	case arrow.ListLikeType:
		t.add(of.Elem(), path)
	case *arrow.DictionaryType:
		t.add(of.ValueType, path)
	case arrow.ExtensionType:
		t.add(of.StorageType(), path)
	default:
		if name := timeName(of.ID()); name != "" {
			t[path] = name
		}
	}
}

// timeName names a type of times, "" for others.
func timeName(id arrow.Type) string {
	switch id {
	case arrow.TIMESTAMP:
		return "a timestamp"
	case arrow.DATE32, arrow.DATE64:
		return "a date"
	case arrow.TIME32, arrow.TIME64:
		return "a time"
	case arrow.DURATION:
		return "a duration"
	case arrow.INTERVAL_MONTHS, arrow.INTERVAL_DAY_TIME, arrow.INTERVAL_MONTH_DAY_NANO:
		return "an interval"
	}
	return ""
}
