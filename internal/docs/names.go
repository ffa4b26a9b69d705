package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	commandsName = "docs/reference/commands.md"
	metricsName  = "docs/reference/metrics.md"
	styleName    = "docs/dev/style.md"
)

// names are the names that pages may use.
type names struct {
	root    string
	flags   map[string]map[string]bool // by verb; "" has those of all verbs
	targets map[string]bool            // of the Makefile
	top     map[string]bool            // files and folders of the root
	avoided []string                   // words, in lower case

	exported map[string]map[string]bool // by the last part of a package's path
	jsonKeys map[string]bool            // of all structs
}

// readNames reads the flags from the commands page, the words to avoid from the style page, and the
// rest from the tree.
func readNames(root string, pages []page) (*names, error) {
	n := &names{
		root: root, flags: map[string]map[string]bool{"": {}}, targets: map[string]bool{},
		top: map[string]bool{}, exported: map[string]map[string]bool{},
	}
	for _, p := range pages {
		switch p.name {
		case commandsName:
			n.readFlags(p)
		case styleName:
			n.readAvoided(p)
		}
	}
	if len(n.flags) == 1 {
		return nil, errors.New(commandsName + " names no verb: run make docs")
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		return nil, err
	}
	for _, m := range ruleTarget.FindAllSubmatch(makefile, -1) {
		n.targets[string(m[1])] = true
	}
	if n.jsonKeys, err = readJSONKeys(root); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	for _, entry := range entries {
		n.top[entry.Name()] = true
	}
	return n, err
}

var ruleTarget = regexp.MustCompile(`(?m)^([a-z][a-z-]*):`)

var tableFlag = regexp.MustCompile("^\\| `-([a-z-]+)")

// readFlags reads the headings and tables of the commands page.
func (n *names) readFlags(p page) {
	verb, global, inShared := "", false, false
	var everywhere []string
	for _, l := range p.lines {
		if m := heading.FindStringSubmatch(l.text); m != nil {
			verb, global = strings.TrimPrefix(m[1], "haf "), strings.HasPrefix(m[1], "Flags of every")
			if strings.HasPrefix(m[1], "haf ") {
				n.flags[verb] = map[string]bool{}
			}
		}
		if m := tableFlag.FindStringSubmatch(l.text); m != nil {
			n.flags[""][m[1]] = true
			if global {
				everywhere = append(everywhere, m[1])
			}
			if n.flags[verb] != nil {
				n.flags[verb][m[1]] = true
			}
		}
		inShared = strings.HasPrefix(l.text, sharedPrefix) || inShared && l.text != ""
		if inShared && n.flags[verb] != nil {
			for _, m := range codeSpan.FindAllStringSubmatch(l.text, -1) {
				n.flags[verb][strings.TrimPrefix(m[1], "-")] = true
			}
		}
	}
	for _, flags := range n.flags {
		for _, name := range everywhere {
			flags[name] = true
		}
	}
}

// sharedPrefix begins the paragraph that lists a verb's shared flags.
const sharedPrefix = "Shared flags: "

// hasFlag reports whether a verb has a flag; "" means any verb.
func (n *names) hasFlag(verb, name string) bool { return n.flags[verb][name] }

// readAvoided reads the first column of the table under "Words".
func (n *names) readAvoided(p page) {
	inside := false
	for _, l := range p.lines {
		if m := heading.FindStringSubmatch(l.text); m != nil {
			inside = m[1] == "Words"
		}
		cells := strings.Split(l.text, "|")
		if !inside || len(cells) < 4 || strings.Contains(cells[1], "---") {
			continue
		}
		for _, word := range strings.Split(cells[1], ",") {
			if word = strings.ToLower(strings.TrimSpace(word)); word != "avoid" {
				n.avoided = append(n.avoided, word)
			}
		}
	}
}

// path returns the fault of a path, or "". It checks only paths that begin with a file or folder of
// the root.
func (n *names) path(name string) string {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	first, rest, nested := strings.Cut(name, "/")
	if !nested || rest == "" || !n.top[first] || first == "bin" || first == "runs" {
		return ""
	}
	found, err := filepath.Glob(filepath.Join(n.root, filepath.FromSlash(name)))
	if err != nil || len(found) == 0 {
		return "the repository has no " + name
	}
	return ""
}

// identifier returns the fault of a name such as reward.Open, or "". It ignores packages outside
// the repository.
func (n *names) identifier(name string) string {
	pkg, ident, _ := strings.Cut(name, ".")
	if n.exported[pkg] == nil {
		exported, err := exportedNames(n.root, pkg)
		if err != nil {
			return err.Error()
		}
		n.exported[pkg] = exported
	}
	if len(n.exported[pkg]) > 0 && !n.exported[pkg][ident] {
		return "package " + pkg + " has no " + ident
	}
	return ""
}

// exportedNames returns the names that a package of the root declares, including methods.
func exportedNames(root, pkg string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
	if err != nil {
		return nil, err
	}
	declared := map[string]bool{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			return nil, err
		}
		for _, decl := range f.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				declared[d.Name.Name] = true
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						declared[s.Name.Name] = true
					case *ast.ValueSpec:
						for _, name := range s.Names {
							declared[name.Name] = true
						}
					}
				}
			}
		}
	}
	return declared, nil
}

var jsonTag = regexp.MustCompile(`json:"([a-z0-9_]+)`)

// readJSONKeys returns the JSON keys of the structs of all packages.
func readJSONKeys(root string) (map[string]bool, error) {
	files, err := filepath.Glob(filepath.Join(root, "*", "*.go"))
	keys := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, m := range jsonTag.FindAllSubmatch(text, -1) {
			keys[string(m[1])] = true
		}
	}
	return keys, err
}
