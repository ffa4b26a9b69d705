// Modulepath sets the path of this module in go.mod, in every import, and in the links of doc
// comments. It leaves strings alone, because some of them are parts of hashes. `make module-path`
// runs it.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "module-path:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 || args[0] == "" {
		return errors.New("want one path, such as: make module-path MODULE=example.org/you/haf")
	}
	out, err := exec.Command("go", "list", "-m").Output()
	if err != nil {
		return fmt.Errorf("asking for the path as it is: %w", err)
	}
	// go refuses an invalid path before any file is changed.
	if out, err := exec.Command("go", "mod", "edit", "-module", args[0]).CombinedOutput(); err != nil {
		return fmt.Errorf("go.mod: %w: %s", err, bytes.TrimSpace(out))
	}
	return rewrite(".", strings.TrimSpace(string(out)), args[0])
}

// rewrite changes the module's path in all Go files below a folder.
func rewrite(root, from, to string) error {
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		changed, err := rewriteFile(path, text, from, to)
		if err != nil || bytes.Equal(changed, text) {
			return err
		}
		return os.WriteFile(path, changed, 0o644)
	})
}

// rewriteFile returns a file's text with the module's path changed in imports and links.
func rewriteFile(name string, text []byte, from, to string) ([]byte, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	done := 0
	replace := func(at ast.Node, with string) {
		begin, end := files.Position(at.Pos()).Offset, files.Position(at.End()).Offset
		out.Write(text[done:begin])
		out.WriteString(with)
		done = end
	}
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ImportSpec)
		if !ok {
			return true
		}
		path, err := strconv.Unquote(spec.Path.Value)
		if rest, ours := strings.CutPrefix(path, from+"/"); err == nil && ours {
			replace(spec.Path, strconv.Quote(to+"/"+rest))
		}
		return false
	})
	out.Write(text[done:])
	return rewriteLinks(name, out.Bytes(), from, to)
}

// rewriteLinks changes links in comments, such as [haf/run.Folder].
func rewriteLinks(name string, text []byte, from, to string) ([]byte, error) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	done := 0
	for _, group := range f.Comments {
		begin, end := files.Position(group.Pos()).Offset, files.Position(group.End()).Offset
		out.Write(text[done:begin])
		out.Write(bytes.ReplaceAll(text[begin:end], []byte("["+from+"/"), []byte("["+to+"/")))
		done = end
	}
	out.Write(text[done:])
	return out.Bytes(), nil
}
