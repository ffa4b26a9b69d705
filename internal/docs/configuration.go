package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"haf/internal/wordwrap"
	"haf/recipe"
	"haf/rlhf"
)

const configurationName = "docs/reference/configuration.md"

// A setting is a key of a TOML table.
type setting struct {
	name, kind, what string
	path             []string // names of the Go fields on the way to its value
}

// structs are the struct types of a package, by name.
type structs map[string]*ast.TypeSpec

// readStructs parses the files in a package's folder.
func readStructs(dir string) (structs, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	found := structs{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, decl := range f.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.TYPE {
				continue
			}
			for _, spec := range d.Specs {
				t := spec.(*ast.TypeSpec)
				if _, ok := t.Type.(*ast.StructType); !ok {
					continue
				}
				if t.Doc == nil {
					t.Doc = d.Doc
				}
				found[t.Name.Name] = t
			}
		}
	}
	return found, nil
}

// settings lists the keys of a struct, including those of embedded structs and of tables inside it.
func (s structs) settings(name, prefix string, path []string) []setting {
	var out []setting
	for _, field := range s[name].Type.(*ast.StructType).Fields.List {
		kind := typeName(field.Type)
		if len(field.Names) == 0 {
			out = append(out, s.settings(kind, prefix, append(path[:len(path):len(path)], kind))...)
			continue
		}
		key := ""
		if field.Tag != nil {
			tag, _ := strconv.Unquote(field.Tag.Value)
			key, _, _ = strings.Cut(reflect.StructTag(tag).Get("toml"), ",")
		}
		if key == "" || key == "-" {
			continue
		}
		at := append(path[:len(path):len(path)], field.Names[0].Name)
		if s[kind] != nil {
			out = append(out, s.settings(kind, prefix+key+".", at)...)
			continue
		}
		if s[strings.TrimPrefix(kind, "[]")] != nil {
			continue // an array of tables has its own section
		}
		out = append(out, setting{prefix + key, kindOf(kind), describe(field), at})
	}
	return out
}

// arrays lists the keys of a struct that are arrays of tables, with their struct types.
func (s structs) arrays(name string) []setting {
	var out []setting
	for _, field := range s[name].Type.(*ast.StructType).Fields.List {
		kind, ok := strings.CutPrefix(typeName(field.Type), "[]")
		if ok && s[kind] != nil && field.Tag != nil {
			tag, _ := strconv.Unquote(field.Tag.Value)
			out = append(out, setting{name: reflect.StructTag(tag).Get("toml"), kind: kind})
		}
	}
	return out
}

// typeName writes a type in Go syntax, arrays as []T.
func typeName(e ast.Expr) string {
	switch t := e.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.ArrayType:
		return "[]" + typeName(t.Elt)
	case *ast.MapType:
		return "table"
	case *ast.StarExpr:
		return typeName(t.X)
	case *ast.SelectorExpr:
		return t.Sel.Name
	}
	return "value"
}

// kindOf describes the value that a user writes for a Go type.
func kindOf(name string) string {
	if element, ok := strings.CutPrefix(name, "[]"); ok {
		return "list of " + kindOf(element)
	}
	switch {
	case name == "any":
		return "value"
	case name == "bool":
		return "true or false"
	case strings.HasPrefix(name, "int"), strings.HasPrefix(name, "uint"):
		return "integer"
	case strings.HasPrefix(name, "float"):
		return "number"
	case name == "table":
		return "table"
	}
	return "text"
}

// describe returns a field's comment: the one on its line, else the one above.
func describe(field *ast.Field) string {
	text := field.Comment.Text()
	if text == "" {
		text = field.Doc.Text()
		if verb, ok := strings.CutPrefix(text, field.Names[0].Name+" is "); ok {
			text = verb
		}
	}
	return strings.TrimSuffix(strings.TrimSpace(text), ".")
}

// lead turns a struct's comment into a sentence about its table.
func lead(t *ast.TypeSpec) string {
	text := strings.Join(strings.Fields(t.Doc.Text()), " ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "A "), t.Name.Name+" ")
	return upperFirst(strings.TrimPrefix(text, "is "))
}

// configurationPage documents every key of a recipe and of a grid, with its default.
func configurationPage(root string) (string, error) {
	recipes, err := readStructs(filepath.Join(root, "recipe"))
	if err != nil {
		return "", err
	}
	grids, err := readStructs(filepath.Join(root, "paper"))
	if err != nil {
		return "", err
	}
	var defaults []reflect.Value // per algorithm
	for _, name := range algorithms {
		sets := []string{"model.path=x", "data.train=x", "rlhf.algorithm=" + name}
		r, err := recipe.Parse("", nil, sets)
		if err != nil {
			return "", err
		}
		r.Model.Path, r.Data.Train = "", nil
		defaults = append(defaults, reflect.ValueOf(*r))
	}
	var b strings.Builder
	b.WriteString(configurationLead)
	for _, field := range recipes["Recipe"].Type.(*ast.StructType).Fields.List {
		kind := typeName(field.Type)
		if field.Tag == nil || recipes[kind] == nil {
			continue
		}
		table := strings.ToLower(kind)
		fmt.Fprintf(&b, "\n## [%s]\n\n%s\n\n", table, fill(lead(recipes[kind])))
		writeSettings(&b, recipes.settings(kind, table+".", []string{field.Names[0].Name}), defaults)
		for _, array := range recipes.arrays(kind) {
			fmt.Fprintf(&b, "\n### [[%s.%s]]\n\n%s\n\n", table, array.name, fill(lead(recipes[array.kind])))
			writeSettings(&b, recipes.settings(array.kind, "", nil), nil)
		}
	}
	b.WriteString(gridLead)
	for _, table := range []struct {
		from        structs
		kind, title string
	}{
		{grids, "Grid", "Keys of the grid"}, {recipes, "World", "[world]"},
		{grids, "Set", "[[sets]]"}, {recipes, "Preferences", "[sets.world]"},
		{grids, "Method", "[[methods]]"}, {grids, "TableSpec", "[[tables]]"},
	} {
		if table.from[table.kind] == nil {
			return "", fmt.Errorf("there is no struct %s", table.kind)
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s\n\n", table.title, fill(lead(table.from[table.kind])))
		writeSettings(&b, table.from.settings(table.kind, "", nil), nil)
	}
	return b.String(), nil
}

// algorithms are the values of rlhf.algorithm, the default first.
var algorithms = []string{rlhf.PPO, rlhf.RLOO, rlhf.GRPO}

const configurationLead = `<!-- Generated by make docs from the structs of recipe and paper. -->
# Configuration

A recipe is a TOML file. haf takes a key from the defaults, then from the file, then from flags of
the form ` + "`-set train.lr=1e-5`" + `. An unknown key is an error that names its line.
The manifest of a [run folder](run-folder.md) keeps the resolved recipe and the origin of every
value. An empty default means that the key is not set.
`

const gridLead = `
## Grid files

` + "`haf paper`" + ` reads a grid, a TOML file of its own form:
[reproducing the paper](../guide/reproducing-the-paper.md).
`

// writeSettings writes a table of keys, with defaults if there are any.
func writeSettings(b *strings.Builder, settings []setting, defaults []reflect.Value) {
	if defaults == nil {
		b.WriteString("| key | type | what |\n|---|---|---|\n")
	} else {
		b.WriteString("| key | type | default | what |\n|---|---|---|---|\n")
	}
	for _, s := range settings {
		fmt.Fprintf(b, "| `%s` | %s |", s.name, s.kind)
		if defaults != nil {
			fmt.Fprintf(b, " %s |", cell(defaultOf(s, defaults)))
		}
		fmt.Fprintf(b, " %s |\n", cell(s.what))
	}
}

// defaultOf is the default of a setting; if algorithms differ, the default of each.
func defaultOf(s setting, defaults []reflect.Value) string {
	var values []string
	differ := false
	for _, v := range defaults {
		for _, name := range s.path {
			v = v.FieldByName(name)
		}
		values = append(values, literal(v))
		differ = differ || values[0] != values[len(values)-1]
	}
	if !differ || s.name == "rlhf.algorithm" {
		return values[0]
	}
	for i, name := range algorithms {
		values[i] = name + " " + values[i]
	}
	return strings.Join(values, ", ")
}

// literal writes a value in TOML syntax. A zero value of a text or list is "".
func literal(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		if v.Len() == 0 {
			return ""
		}
		return "`" + strconv.Quote(v.String()) + "`"
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return ""
		}
		text, _ := json.Marshal(v.Interface())
		return "`" + strings.ReplaceAll(string(text), ",", ", ") + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

// fill wraps a paragraph at 100 columns.
func fill(text string) string { return wordwrap.Wrap(text, columns) }
