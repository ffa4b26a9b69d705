// Package recipes holds the recipes and grids that come with haf, so that haf train hh-helpful
// works anywhere.
package recipes

import (
	"embed"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/wholefile"
)

//go:embed *.toml
var files embed.FS

// A Recipe is a TOML file that comes with haf.
type Recipe struct {
	Name  string `json:"name"`
	Verb  string `json:"verb"`  // train, rlhf or paper
	Title string `json:"title"` // the first sentence of its comment
}

// List returns the recipes by verb, then by name.
func List() []Recipe {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		panic(err) // cannot happen: the files are embedded
	}
	var list []Recipe
	for _, e := range entries {
		text, err := files.ReadFile(e.Name())
		if err != nil {
			panic(err)
		}
		r := Recipe{Name: strings.TrimSuffix(e.Name(), ".toml"), Verb: "train",
			Title: title(string(text))}
		switch {
		case strings.Contains("\n"+string(text), "\n[recipe"):
			r.Verb = "paper"
		case strings.Contains("\n"+string(text), "\n[rlhf"):
			r.Verb = "rlhf"
		}
		list = append(list, r)
	}
	order := []string{"train", "rlhf", "paper"}
	slices.SortStableFunc(list, func(a, b Recipe) int {
		return slices.Index(order, a.Verb) - slices.Index(order, b.Verb)
	})
	return list
}

// title is the first sentence of the comment at the beginning of a recipe.
func title(text string) string {
	var words []string
	for line := range strings.Lines(text) {
		comment, ok := strings.CutPrefix(line, "#")
		if !ok {
			break
		}
		words = append(words, strings.Fields(comment)...)
	}
	sentence, _, _ := strings.Cut(strings.Join(words, " ")+" ", ". ")
	return strings.TrimSuffix(strings.TrimSpace(sentence), ".")
}

// Read returns a recipe's TOML: the file at the path or, if there is none, the built-in recipe of
// that name.
func Read(path string) ([]byte, error) {
	data, err := wholefile.Read(path, wholefile.Settings)
	if err == nil || !isName(path) {
		return data, err
	}
	if data, err := files.ReadFile(path + ".toml"); err == nil {
		return data, nil
	}
	return nil, fmt.Errorf("%w; no built-in recipe has that name either", err)
}

// isName reports whether a path can be the name of a recipe.
func isName(path string) bool { return path == filepath.Base(path) && filepath.Ext(path) == "" }
