// Package onedash lets the flags of a kong command line be written with one dash.
package onedash

import (
	"errors"
	"maps"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// ValueFlags maps the name of every flag of the node and its subcommands to whether the flag takes
// a value.
func ValueFlags(node *kong.Node) map[string]bool {
	flags := map[string]bool{}
	for _, f := range node.Flags {
		flags[f.Name] = !f.IsBool()
	}
	for _, child := range node.Children {
		maps.Copy(flags, ValueFlags(child))
	}
	return flags
}

// Habits rewrites arguments that people type by habit, haf help, haf help VERB and haf -version, in
// haf's own form.
func Habits(args []string) []string {
	for i, arg := range args {
		if arg == "-version" || arg == "--version" {
			return append(append([]string{}, args[:i]...), "version")
		}
		if arg == "help" {
			return append(append(append([]string{}, args[:i]...), args[i+1:]...), "-help")
		}
		if !strings.HasPrefix(arg, "-") {
			break
		}
	}
	return args
}

// Double adds the second dash that kong expects, so that a user can write haf eval -data FILE.
// One-letter flags, which kong knows, keep one dash. A value may begin with a dash, such as a
// response that is a list, unless it reads as a flag. takesValue has the flags.
func Double(args []string, takesValue map[string]bool) []string {
	flagName := func(arg string) (name string, whole, ok bool) {
		name, _, inside := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		_, known := takesValue[name]
		return name, !inside, known && strings.HasPrefix(arg, "-")
	}
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			return append(out, args[i:]...)
		}
		if len(arg) > 2 && arg[0] == '-' && arg[1] >= 'a' && arg[1] <= 'z' {
			arg = "-" + arg
		}
		if name, whole, ok := flagName(arg); ok && whole && takesValue[name] && i+1 < len(args) {
			if _, _, flag := flagName(args[i+1]); !flag && strings.HasPrefix(args[i+1], "-") {
				i++
				arg += "=" + args[i]
			}
		}
		out = append(out, arg)
	}
	return out
}

// twoDashes matches a flag as kong writes it.
var twoDashes = regexp.MustCompile(`(^|[\s"(,])--([a-z])`)

// Explain rewrites an error about flags, or nil, with one dash, and adds how to get help. command
// may be nil; kong's own errors know it.
func Explain(err error, command *kong.Context) error {
	if err == nil {
		return nil
	}
	if of := (*kong.ParseError)(nil); errors.As(err, &of) {
		command = of.Context
	}
	help := "haf -help lists the verbs, haf VERB -help the flags"
	if command != nil && command.Selected() != nil {
		help = "haf " + command.Selected().Name + " -help shows its flags and an example"
	}
	return &oneDashed{twoDashes.ReplaceAllString(err.Error(), "$1-$2") + "; " + help, err}
}

// oneDashed is an error with another message.
type oneDashed struct {
	text string
	err  error
}

func (o *oneDashed) Error() string { return o.text }
func (o *oneDashed) Unwrap() error { return o.err }
