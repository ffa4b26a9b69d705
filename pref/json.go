package pref

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
)

// jsonOf writes a row of a table as JSON.
func jsonOf(row any) ([]byte, error) {
	data, err := appendJSON(nil, row)
	if err == nil && len(data) > maxRow {
		err = fmt.Errorf("longer than %d bytes", maxRow)
	}
	return data, err
}

// appendJSON writes a value of a column as JSON. Numbers that are none (NaN, Infinity) are written
// as Python writes them, and text keeps its bytes, also where they are no UTF-8: the reader of a
// row judges them as it does those of a JSON file.
func appendJSON(to []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		to = append(to, '{')
		for i, key := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				to = append(to, ',')
			}
			to = append(appendQuoted(to, key), ':')
			if to, err = appendJSON(to, v[key]); err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
		}
		return append(to, '}'), nil
	case []any:
		to = append(to, '[')
		for i, item := range v {
			if i > 0 {
				to = append(to, ',')
			}
			if to, err = appendJSON(to, item); err != nil {
				return nil, err
			}
		}
		return append(to, ']'), nil
	case string:
		return appendQuoted(to, v), nil
	case float64:
		if text := pythonNumber(v); text != "" {
			return append(to, text...), nil
		}
	case float32:
		if text := pythonNumber(float64(v)); text != "" {
			return append(to, text...), nil
		}
	}
	data, err := json.Marshal(v)
	return append(to, data...), err
}

// pythonNumber is how Python writes a number that JSON has no form for, "" for others.
func pythonNumber(x float64) string {
	switch {
	case math.IsNaN(x):
		return "NaN"
	case math.IsInf(x, 1):
		return "Infinity"
	case math.IsInf(x, -1):
		return "-Infinity"
	}
	return ""
}

func appendQuoted(to []byte, text string) []byte {
	const digits = "0123456789abcdef"
	to = append(to, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		to = append(to, text[from:i]...)
		from = i + 1
		if c < ' ' {
			to = append(to, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		} else {
			to = append(to, '\\', c)
		}
	}
	return append(append(to, text[from:]...), '"')
}
