package main

import (
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// checkGo returns the Go lines of more than 100 columns, counting a tab as one, except lines with a
// long literal in backquotes.
func checkGo(root string) ([]problem, error) {
	var problems []problem
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".go") {
			return err
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		raw := rawLines(source)
		for i, line := range strings.Split(string(source), "\n") {
			if utf8.RuneCountInString(line) > columns && !raw[i+1] {
				text := "is longer than 100 columns"
				problems = append(problems, problem{filepath.ToSlash(rel), i + 1, text})
			}
		}
		return nil
	})
	return problems, err
}

// rawLines returns the numbers of lines with a literal in backquotes that is longer than a quarter
// of a line, or covers several lines.
func rawLines(source []byte) map[int]bool {
	files := token.NewFileSet()
	file := files.AddFile("", files.Base(), len(source))
	var s scanner.Scanner
	s.Init(file, source, nil, 0)
	lines := map[int]bool{}
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			return lines
		}
		more := strings.Count(text, "\n")
		if kind != token.STRING || text[0] != '`' || more == 0 && len(text) < columns/4 {
			continue
		}
		for first, i := file.Line(at), 0; i <= more; i++ {
			lines[first+i] = true
		}
	}
}
