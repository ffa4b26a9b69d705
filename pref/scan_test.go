package pref

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestScanner wants the members of encoding/json, but for the liberties that rows have.
func TestScanner(t *testing.T) {
	for text, want := range map[string]map[string]string{
		`{}`:                                     {},
		` { "a" : 1 , "b":[1,{"c":2}]}`:          {"a": "1", "b": `[1,{"c":2}]`},
		`{"a":NaN,"b":-Infinity,"c":[Infinity]}`: {"a": "NaN", "b": "-Infinity", "c": "[Infinity]"},
		"{\"a\":\"\xff\",\"\\u0062\":2}":         {"a": "\"\xff\"", "b": "2"},
		`{"a":"\ud800"}`:                         {"a": `"\ud800"`},
	} {
		f, err := objectOf([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got := map[string]string{}
		for key, v := range f.values {
			got[key] = string(v)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	for text, want := range map[string]string{
		``:                                   "unexpected end",
		`{`:                                  "at byte 1 of the row: unexpected end",
		`{"a"}`:                              `unexpected character '}', want ":"`,
		`{"a":1,}`:                           "want a key",
		`{"a":1}{`:                           "want nothing behind the value",
		`{"a":01}`:                           "want a value",
		`{"a":nan}`:                          "want a value",
		`{"a":"\x"}`:                         "want an escape",
		`{"a":"\u12"}`:                       "four hexadecimal digits",
		"{\"a\":\"\n\"}":                     "no control character",
		`{"a":1,"b":2,"a":1}`:                `field "a": the key comes twice`,
		`{"a":null,"a":null}`:                `field "a": the key comes twice`,
		`{"a":null,"a":1}`:                   `field "a": the key comes twice`,
		`[1]`:                                "a list, want a JSON object",
		strings.Repeat("{", 9):               "want a key",
		`{"a":` + strings.Repeat("[", 1<<20): "nested deeper than 500 levels",
	} {
		if _, err := objectOf([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", text, err, want)
		}
	}
}

func TestLoneSurrogate(t *testing.T) {
	for text, want := range map[string]string{
		`"\ud83d\ude00"`: "", `"\ud83d"`: `\ud83d`, `"\ude00"`: `\ude00`,
		`"\ud83d\ud83d\ude00"`: `\ud83d`,
		`"\\ud83d"`:            "", `"\uD83Dx\uDE00"`: `\uD83D`, `"\u00e9"`: "", `"\ud7ff\ue000"`: "",
	} {
		if got := loneSurrogate([]byte(text)); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// FuzzScanner holds the scanner beside encoding/json: what is JSON is taken, with the same keys and
// values, and what is taken is JSON, but for numbers that are none and for nesting.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e-3,{"b":null}],"c":"\u00e9\n"}`, `{"a":NaN}`, `{"":""}`,
		"{\"\xff\":true}", `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fields, err := objectOf(data)
		liberty := bytes.Contains(data, []byte("NaN")) || bytes.Contains(data, []byte("Infinity"))
		if err == nil && !liberty && !json.Valid(data) {
			t.Fatalf("%q is taken", data)
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(data, &want) != nil || want == nil {
			return
		}
		if err != nil {
			if !strings.Contains(err.Error(), "twice") && !strings.Contains(err.Error(), "nested deeper") {
				t.Fatalf("%q: %v", data, err)
			}
			return
		}
		for key, v := range fields.values {
			if other, ok := want[strings.ToValidUTF8(key, "\ufffd")]; ok &&
				!bytes.Equal(bytes.TrimSpace(other), v) && len(want) == len(fields.all)+len(fields.nulls) {
				t.Fatalf("%q: %q is %q, want %q", data, key, v, other)
			}
		}
	})
}
