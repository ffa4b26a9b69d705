package wholefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// Unmarshal is json.Unmarshal with errors that name bytes and keys instead of Go types. It refuses
// text that is not UTF-8; json.Unmarshal would replace the bytes.
func Unmarshal(data []byte, to any) error {
	if !utf8.Valid(data) {
		return fmt.Errorf("not JSON: byte %d is not UTF-8", len(validPrefix(data))+1)
	}
	return Explain(json.Unmarshal(data, to))
}

// validPrefix returns the longest beginning that is UTF-8.
func validPrefix(data []byte) []byte {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return data[:at]
		}
		at += size
	}
	return data
}

// Explain rewrites an error of encoding/json in plain words. It returns other errors, and nil,
// unchanged.
func Explain(err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON: at byte %d: %w", syntax.Offset, err)
	case errors.As(err, &mismatch):
		what := "it"
		if mismatch.Field != "" {
			what = mismatch.Field
		}
		return fmt.Errorf("%s is %s, want %s (at byte %d)", what, seen(mismatch.Value),
			wanted(mismatch.Type), mismatch.Offset)
	}
	return err
}

// seen names the value that encoding/json found, with its article.
func seen(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	}
	return "a " + value
}

// wanted is the JSON word for a Go type.
func wanted(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	return "an integer"
}
