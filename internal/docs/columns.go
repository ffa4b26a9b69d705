package main

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// narrow are the packages whose Go lines are at most 100 columns, a tab counted as one. Add a
// package here once it is wrapped.
var narrow = []string{"internal/docs", "internal/jinja"}

// checkGo wants the lines of the narrow packages to be at most 100 columns.
func checkGo(root string) ([]problem, error) {
	wide, err := wideLines(root)
	if err != nil {
		return nil, err
	}
	var problems []problem
	for _, p := range wide {
		if slices.Contains(narrow, path.Dir(p.file)) {
			problems = append(problems, p)
		}
	}
	return problems, nil
}

// wideLines returns the Go lines of more than 100 columns, a tab counted as one.
func wideLines(root string) ([]problem, error) {
	var problems []problem
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		scanner := bufio.NewScanner(f)
		scanner.Buffer(nil, 1<<22)
		for number := 1; scanner.Scan(); number++ {
			if utf8.RuneCountInString(scanner.Text()) > columns {
				text := "is longer than 100 columns"
				problems = append(problems, problem{filepath.ToSlash(rel), number, text})
			}
		}
		return scanner.Err()
	})
	return problems, err
}
