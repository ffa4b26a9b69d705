package recipe

import (
	"fmt"
	"reflect"

	"haf/internal/interval"
)

// checkRanges returns an error for the first number outside the range of its field's tag. It covers
// every table of the recipe, so a number without a tag is the only one that is not checked.
func (r *Recipe) checkRanges() error { return checkFields("", reflect.ValueOf(*r)) }

// checkFields checks the fields of a table; prefix is its dotted key and a dot.
func checkFields(prefix string, table reflect.Value) error {
	for i := range table.NumField() {
		field := table.Type().Field(i)
		key := prefix + field.Tag.Get("toml")
		if !field.IsExported() {
			continue
		}
		if err := checkField(prefix, key, field, table.Field(i)); err != nil {
			return err
		}
	}
	return nil
}

func checkField(prefix, key string, field reflect.StructField, v reflect.Value) error {
	switch {
	case field.Anonymous:
		return checkFields(prefix, v)
	case v.Kind() == reflect.Struct:
		return checkFields(key+".", v)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			if err := checkFields(fmt.Sprintf("%s[%d].", key, i), v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
	text, ok := field.Tag.Lookup("range")
	if !ok {
		return nil
	}
	if err := interval.Check(text, v); err != nil {
		return fmt.Errorf("recipe: %s is %w", key, err)
	}
	return nil
}
