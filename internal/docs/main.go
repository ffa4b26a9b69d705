// Command docs checks the pages of the repository. It prints the problems, one per line; with
// -write it first regenerates the generated pages. The tests of cmd/haf, which know the flags,
// write docs/reference/commands.md.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	root := flag.String("root", ".", "Folder of the module.")
	write := flag.Bool("write", false, "Write the generated pages.")
	flag.Parse()
	if err := run(*root, *write); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(1)
	}
}

// run writes the generated pages if write is set, and checks all pages.
func run(root string, write bool) error {
	generated, err := generate(root)
	if err != nil {
		return err
	}
	if write {
		for _, name := range sortedKeys(generated) {
			file := filepath.Join(root, filepath.FromSlash(name))
			if err := os.WriteFile(file, []byte(generated[name]), 0o644); err != nil {
				return err
			}
		}
	}
	problems, err := check(root)
	if err != nil {
		return err
	}
	for _, p := range problems {
		fmt.Println(p)
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d problems", len(problems))
	}
	return nil
}

// generate returns the content of every generated page by path, except commands.md.
func generate(root string) (map[string]string, error) {
	configuration, err := configurationPage(root)
	if err != nil {
		return nil, err
	}
	decisions, err := decisionIndex(root)
	if err != nil {
		return nil, err
	}
	architecture, err := architecturePage(root)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		configurationName: configuration,
		decisionsName:     decisions,
		architectureName:  architecture,
	}, nil
}
