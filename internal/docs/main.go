// Command docs keeps the pages of the repository true. Without flags it prints what is wrong with
// them, one problem a line; with -write it first writes the generated pages anew. The page
// docs/reference/commands.md is written by the tests of cmd/haf, which know the flags.
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

// run writes the generated pages if it is told to, and checks all pages.
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

// generate returns the content of every generated page by its path, commands.md excepted.
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
