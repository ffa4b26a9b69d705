package main

import (
	"bytes"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"haf/recipe"
)

// TestHostileRecipes gives every key of a recipe what it cannot be, in the file and by -set:
// another type, another name, a number out of its range, a word that is none of its words. Keys are
// found by reflection, so a new one is tested, too.
func TestHostileRecipes(t *testing.T) {
	h := newHostile(t)
	h.write("base.toml", bytes.Replace(readFile(t, "rl.toml"), []byte(`"rm"`), []byte(`"base"`), 1))
	h.settle()
	recipeKeys("", reflect.TypeFor[recipe.Recipe](), func(key string, f reflect.StructField) {
		verb, start := "train", "tiny.toml"
		if strings.HasPrefix(key, "rlhf.") {
			verb, start = "rlhf", "base.toml"
		}
		h.keyInFile(verb, key, f)
		set := func(code int, value, want string) {
			args := []string{verb, start, "-out", "out", "-set", "lora.rank=2", "-set", key + value}
			h.refuses(hostileCase{"-set", args, code, want})
		}
		set(exitUsage, "x=1", `-set `+key+`x: unknown key "`+key+`x"`)
		set(exitUsage, "", "want key=value")
		set(exitUsage, "="+wrongTOML(f.Type), "-set "+key+`.* is a [\w ]+, want `)
		_, last, _ := strings.Cut(key, ".")
		for _, value := range outOfRange(f.Type) {
			if f.Tag.Get("range") == "" && key != "train.seed" {
				t.Errorf("%s has no tag range", key)
			}
			set(exitFailed, "="+value, regexp.QuoteMeta(key))
		}
		texts := f.Type.Kind() == reflect.String || f.Type == reflect.TypeFor[[]string]()
		if texts && !anyText[key] {
			set(exitFailed, `="nonsense"`, last+"|nonsense")
		}
	})
}

// anyText are the keys that take any text.
var anyText = map[string]bool{
	"rlhf.stop": true, "tracking.project": true, "tracking.run_name": true,
}

// recipeKeys calls f for every key of a table.
func recipeKeys(prefix string, table reflect.Type, f func(key string, field reflect.StructField)) {
	for i := range table.NumField() {
		field := table.Field(i)
		key := prefix + field.Tag.Get("toml")
		switch {
		case !field.IsExported():
		case field.Anonymous:
			recipeKeys(prefix, field.Type, f)
		case field.Type.Kind() == reflect.Struct:
			recipeKeys(key+".", field.Type, f)
		default:
			f(key, field)
		}
	}
}

// keyInFile gives the key in a file another type and another name.
func (h *hostile) keyInFile(verb, key string, f reflect.StructField) {
	h.t.Helper()
	dot := strings.LastIndexByte(key, '.')
	table, name := key[:dot], key[dot+1:]
	for line, want := range map[string]string{
		name + " = " + wrongTOML(f.Type): `bad.toml:3:\d+: ` + regexp.QuoteMeta(key) +
			` is a [\w ]+, want `,
		name + "x = 1":  `bad.toml:3: unknown key "` + regexp.QuoteMeta(key) + `x"`,
		name + " = [1,": `bad.toml:3`,
	} {
		h.write("bad.toml", []byte("# broken\n["+table+"]\n"+line+"\n"))
		h.settle()
		h.refuses(hostileCase{"file", []string{verb, "bad.toml", "-out", "out"}, exitFailed, want})
	}
}

// wrongTOML is a value of another type.
func wrongTOML(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Uint64, reflect.Float64, reflect.Map:
		return `"text"`
	case reflect.Slice:
		return "{ a = 1 }"
	}
	return "[1]"
}

// outOfRange are numbers that no key takes.
func outOfRange(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Int:
		return []string{"-9223372036854775808"}
	case reflect.Float64:
		return []string{"-1e300", "nan", "inf", "1e300"}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Float64 {
			return []string{"[nan]", "[-1e300]"}
		}
	}
	return nil
}
