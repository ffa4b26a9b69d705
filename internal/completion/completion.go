// Package completion completes the command line of haf in bash, zsh and fish: a script of the shell
// asks the program itself.
package completion

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"haf/recipe"
	"haf/recipes"
)

// A Source returns the candidates for the value of a flag or an argument of a verb. name is the
// flag's name, or "" for an argument.
type Source func(verb, name string) []string

// Candidates returns the possible completions of the last of the words after the program's name,
// sorted. If there are none, the shell offers files.
func Candidates(root *kong.Node, words []string, source Source) []string {
	if len(words) == 0 {
		words = []string{""}
	}
	typed := words[len(words)-1]
	var verb *kong.Node
	before := "" // the word before the one being typed
	for _, word := range words[:len(words)-1] {
		if verb == nil {
			verb = child(root, word)
		}
		before = word
	}
	flags := flagsOf(root)
	name := ""
	if verb != nil {
		maps.Copy(flags, flagsOf(verb))
		name = verb.Name
	}
	var all []string
	if f, ok := flags[strings.TrimLeft(before, "-")]; ok && before[0] == '-' && !f.IsBool() {
		all = slices.DeleteFunc(strings.Split(f.Enum, ","), func(s string) bool { return s == "" })
		if len(all) == 0 {
			all = source(name, f.Name)
		}
		return matching(all, typed, "")
	}
	switch {
	case strings.HasPrefix(typed, "-"):
		dashes := typed[:len(typed)-len(strings.TrimLeft(typed, "-"))]
		return matching(slices.Sorted(maps.Keys(flags)), typed, dashes[:min(len(dashes), 2)])
	case verb == nil:
		for _, c := range root.Children {
			if !c.Hidden {
				all = append(all, c.Name)
			}
		}
	default:
		all = source(name, "")
	}
	return matching(all, typed, "")
}

func child(root *kong.Node, name string) *kong.Node {
	for _, c := range root.Children {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func flagsOf(node *kong.Node) map[string]*kong.Flag {
	flags := map[string]*kong.Flag{}
	for _, f := range node.Flags {
		if !f.Hidden {
			flags[f.Name] = f
		}
	}
	return flags
}

// matching returns the candidates that begin with the typed text.
func matching(all []string, typed, prefix string) []string {
	var out []string
	for _, candidate := range all {
		if candidate = prefix + candidate; strings.HasPrefix(candidate, typed) {
			out = append(out, candidate)
		}
	}
	return out
}

// Verb is the hidden verb that the scripts call, with the words of the line.
const Verb = "__complete"

// scripts are the completion scripts by shell. Each passes the words up to the cursor.
var scripts = map[string]string{
	"bash": `_haf() {
    local IFS=$'\n'
    COMPREPLY=($(haf ` + Verb + ` -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
    return 0
}
complete -o default -F _haf haf
`,
	"zsh": `#compdef haf
_haf() {
    local -a found
    found=("${(@f)$(haf ` + Verb + ` -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ${#found} )); then
        compadd -q -S ' ' -r '=' -- $found
    else
        _files
    fi
}
compdef _haf haf
`,
	"fish": `complete -c haf -a '(haf ` + Verb +
		` -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'
`,
}

// Shells lists the supported shells.
func Shells() []string { return slices.Sorted(maps.Keys(scripts)) }

// Script returns the script of a shell.
func Script(shell string) (string, error) {
	script, ok := scripts[shell]
	if !ok {
		return "", fmt.Errorf("there is no completion for %q: want one of %s", shell,
			strings.Join(Shells(), ", "))
	}
	return script, nil
}

// Values returns the known values of arguments and flags. It is a [Source].
func Values(verb, flag string) (values []string) {
	switch flag {
	case "device":
		return []string{"auto", "cpu", "cuda", "go"}
	case "set":
		for _, key := range recipe.Keys() {
			values = append(values, key+"=")
		}
	case "":
		for _, r := range recipes.List() {
			if r.Verb == verb || verb == "recipes" {
				values = append(values, r.Name)
			}
		}
	}
	return values
}
