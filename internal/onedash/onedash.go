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

// Habits returns the arguments with what people type by habit in the words of haf: haf help,
// haf help VERB and haf -version.
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

// Double gives flags the two dashes that kong wants, so that a user can write haf eval -data FILE.
// Flags of one letter, which kong knows, keep their one dash. A value may begin with a dash, as
// answers that are lists do, unless it reads as a flag; takesValue names the flags.
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

// twoDashes finds a flag as kong writes it.
var twoDashes = regexp.MustCompile(`(^|[\s"(,])--([a-z])`)

// Explain returns an error about flags, nil or not, as a message that writes them with one dash and
// says where the help is. command may be nil: kong's own errors know it.
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

// oneDashed is an error in other words.
type oneDashed struct {
	text string
	err  error
}

func (o *oneDashed) Error() string { return o.text }
func (o *oneDashed) Unwrap() error { return o.err }
