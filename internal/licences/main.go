// Command licences lists the licences of all modules in haf, its tests and its tools, from the
// files in the module cache. It fails on a module without a known licence, and on one whose licence
// would bind the whole program. With -write it writes the page of licences.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// page is the generated page.
const page = "docs/reference/licences.md"

func main() {
	write := flag.Bool("write", false, "Write "+page+".")
	flag.Parse()
	text, err := list(".")
	if err == nil && *write {
		err = os.WriteFile(page, []byte(text), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
	if !*write {
		fmt.Print(text)
	}
}

// A module is a dependency of haf.
type module struct{ path, version, dir string }

// A text identifies a licence: phrases in its text, in lower case with single spaces, and one that
// must be absent.
type text struct {
	name string // SPDX identifier
	has  []string
	not  string
	// binds means that a program with such a module must be distributed under the same terms.
	binds bool
}

const redistribution = "redistribution and use in source and binary forms"

// texts are the known licences. Any other licence is an error: read it, and add it here.
var texts = []text{
	{name: "Apache-2.0", has: []string{"apache license", "version 2.0"}},
	{name: "MIT", has: []string{"permission is hereby granted, free of charge, to any person"}},
	{name: "BSD-3-Clause", has: []string{redistribution, "neither the name"}},
	{name: "BSD-2-Clause", has: []string{redistribution}, not: "neither the name"},
	{name: "ISC", has: []string{"permission to use, copy, modify, and", "for any purpose with or " +
		"without fee"}},
	{name: "OFL-1.1", has: []string{"sil open font license"}},
	{name: "MPL-2.0", has: []string{"mozilla public license version 2.0"}},
	{name: "CC-BY-4.0", has: []string{"creative commons attribution 4.0 international"}},
	{name: "FTL", has: []string{"freetype license"}},
	{name: "GPL", has: []string{"gnu general public license"}, not: "mozilla public", binds: true},
	{name: "LGPL", has: []string{"gnu lesser general public license"}, not: "mozilla public",
		binds: true},
	{name: "AGPL", has: []string{"gnu affero general public license"}, not: "mozilla public",
		binds: true},
	{name: "SSPL", has: []string{"server side public license"}, binds: true},
}

// choices are the modules that offer several licences, with the one that haf uses.
var choices = map[string]string{
	"github.com/golang/freetype": "FTL", // or the GPL, version 2 or later
}

// named matches the names of licence files.
var named = regexp.MustCompile(`(?i)^(un)?licen[cs]e|^copying`)

// read returns the names of the licences in a module's folder.
func read(m module) ([]string, error) {
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: fetch the modules with: go mod download", m.path, err)
	}
	var found []string
	for _, e := range entries {
		if !e.Type().IsRegular() || !named.MatchString(e.Name()) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(m.dir, e.Name()))
		if err != nil {
			return nil, err
		}
		found = append(found, known(string(data))...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if choice, ok := choices[m.path]; ok && slices.Contains(found, choice) {
		return []string{choice}, nil
	}
	return found, check(m.path, found)
}

// known returns the names of the licences in a text.
func known(file string) (names []string) {
	file = strings.Join(strings.Fields(strings.ToLower(file)), " ")
	for _, t := range texts {
		missing := func(phrase string) bool { return !strings.Contains(file, phrase) }
		if !slices.ContainsFunc(t.has, missing) && (t.not == "" || missing(t.not)) {
			names = append(names, t.name)
		}
	}
	return names
}

// check returns an error unless a module has a licence and none binds the program.
func check(path string, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("%s has no licence that is known: read its files, and add the licence to "+
			"internal/licences, or leave the module out", path)
	}
	for _, t := range texts {
		if t.binds && slices.Contains(names, t.name) {
			return fmt.Errorf("%s is under the %s, which would bind all of haf: leave the module out, or "+
				"state in internal/licences which other licence of it haf takes", path, t.name)
		}
	}
	return nil
}

// modules lists the modules of the packages that go list names.
func modules(root string, args ...string) ([]module, error) {
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}`
	command := exec.Command("go", append([]string{"list", "-deps", "-f", format}, args...)...)
	command.Dir = root
	out, err := command.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("go list: %s", strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return nil, err
	}
	seen := map[module]bool{}
	var found []module
	for line := range strings.Lines(string(out)) {
		fields := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(fields) != 3 {
			continue
		}
		m := module{fields[0], fields[1], fields[2]}
		if !seen[m] {
			seen[m] = true
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b module) int { return strings.Compare(a.path, b.path) })
	return found, nil
}

// list returns the page. Its error names all modules that must not be used.
func list(root string) (string, error) {
	program, err := modules(root, "./cmd/haf")
	if err != nil {
		return "", err
	}
	all, err := modules(root, "-test", "./...", "tool")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("# Licences\n\n<!-- Generated by make licences. -->\n\n" +
		"The modules that haf is made of, with the licences in their files. `make licences` fails on " +
		"a\nmodule without a known licence, and on one whose licence would bind all of haf. The XLA " +
		"plug-in,\nwhich `haf setup` installs, is OpenXLA's and under Apache-2.0.\n\n" +
		"| module | version | licence | in |\n|---|---|---|---|\n")
	var problems []error
	for _, m := range all {
		names, err := read(m)
		problems = append(problems, err)
		in := "tests and tools"
		if slices.Contains(program, m) {
			in = "haf"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", m.path, m.version, strings.Join(names, ", "), in)
	}
	return b.String(), errors.Join(problems...)
}
