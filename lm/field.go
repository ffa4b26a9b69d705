package lm

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"haf/internal/wholefile"
)

// fields reads typed values out of a JSON object; the first failure stays in err.
type fields struct {
	raw map[string]json.RawMessage
	err error
}

// present reports whether the key has a value that is not null.
func (f *fields) present(key string) bool {
	return len(f.raw[key]) > 0 && string(f.raw[key]) != "null"
}

// value decodes the value of key into to, which keeps what it holds where there is none. A null is
// none.
func (f *fields) value(key string, to any) {
	if f.err != nil || !f.present(key) {
		return
	}
	if err := wholefile.Unmarshal(f.raw[key], to); err != nil {
		f.err = fmt.Errorf("%s is %s, want %s", key, shorten(f.raw[key]), reflect.TypeOf(to).Elem())
	}
}

func shorten(raw json.RawMessage) json.RawMessage {
	if len(raw) > 60 {
		return append(slices.Clone(raw[:57]), "..."...)
	}
	return raw
}

// required is value for a key that must be there.
func (f *fields) required(key string, to any) {
	if f.err == nil && !f.present(key) {
		f.err = fmt.Errorf("no %s; is it the config.json of a language model?", key)
	}
	f.value(key, to)
}

// token decodes a token id: absent is the family's default, null is none.
func (f *fields) token(key string, absent int) int {
	id := -1
	if _, ok := f.raw[key]; !ok {
		id = absent
	}
	f.value(key, &id)
	return id
}

// A key binds a member of config.json to a field of Config, for reading and for writing.
type key struct {
	name string
	at   func(*Config) any // pointer to the field
	// nullable: null is the zero value ("none"), and the zero value is written as null. Else null is
	// the default.
	nullable bool
}

// read decodes a key into its field. A size without a default must be there.
func (f *fields) read(k key, c *Config) {
	to := k.at(c)
	if size, ok := to.(*int); ok && *size == 0 && !k.nullable {
		f.required(k.name, to)
		return
	}
	if raw, ok := f.raw[k.name]; ok && k.nullable && string(raw) == "null" {
		reflect.ValueOf(to).Elem().SetZero()
	}
	f.value(k.name, to)
}

// write returns the value of the key's field as config.json has it.
func (k key) write(c *Config) any {
	v := reflect.ValueOf(k.at(c)).Elem()
	if k.nullable && v.IsZero() {
		return nil
	}
	return v.Interface()
}
