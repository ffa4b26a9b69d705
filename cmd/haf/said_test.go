package main

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go/ast"
	"go/parser"
	"go/token"

	"github.com/alecthomas/kong"

	"haf/internal/message"
	"haf/internal/shared"
)

// flagsOf lists the flags of each verb; those of all verbs are under "".
var flagsOf = sync.OnceValue(func() map[string][]string {
	parser, err := kong.New(&cli{})
	if err != nil {
		panic(err)
	}
	flags := map[string][]string{}
	for _, f := range parser.Model.Flags {
		flags[""] = append(flags[""], f.Name)
	}
	for _, verb := range parser.Model.Children {
		flags[verb.Name] = []string{}
		for _, f := range verb.Flags {
			flags[verb.Name] = append(flags[verb.Name], f.Name)
		}
	}
	return flags
})

var (
	saidCommand = regexp.MustCompile(`\bhaf (?:-json |-quiet )*([a-z]+)\b[^;:,()]*`)
	// commands of other programs, whose flags are their own
	otherCommand = regexp.MustCompile(`\b(?:ls|df|cp|rand|exec:sh|mode) -[^;:,()]*|(?:%s|python3) -[mc] .*|the same command with .*`)
	saidFlag     = regexp.MustCompile(`(?:^|[\s(,"])-([a-z][a-z0-9]*(?:-[a-z0-9]+)*)`)
)

// foreignFlag returns the first flag that a text says and that is not of the verb, or of the verb
// before it in a command such as "haf score -in FILE"; "" if there is none. Where a verb reads a
// recipe, the key of that name may stand beside the flag: "-column, or model.column in a recipe".
func foreignFlag(verb, said string) string {
	has := func(verb, flag string) bool {
		return slices.Contains(flagsOf()[verb], flag) || slices.Contains(flagsOf()[""], flag)
	}
	for line := range strings.Lines(said) {
		line = otherCommand.ReplaceAllString(line, "")
		line = saidCommand.ReplaceAllStringFunc(line, func(command string) string {
			of := saidCommand.FindStringSubmatch(command)[1]
			if flagsOf()[of] == nil {
				return command
			}
			for _, flag := range saidFlag.FindAllStringSubmatch(command, -1) {
				if !has(of, flag[1]) {
					return " -" + of + "-has-no-" + flag[1]
				}
			}
			return ""
		})
		for _, flag := range saidFlag.FindAllStringSubmatch(line, -1) {
			key := "." + strings.ReplaceAll(flag[1], "-", "_")
			if !has(verb, flag[1]) && !(has(verb, "set") && strings.Contains(line, key)) {
				return "-" + flag[1]
			}
		}
	}
	return ""
}

// checkSaid returns an error for names of packages, and for flags of other verbs, in what a command
// line said on standard error. What the user typed may come again.
func checkSaid(args []string, said string) error {
	verb := ""
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") {
			verb = arg
			break
		}
	}
	for _, arg := range args {
		if name, _, _ := strings.Cut(arg, "="); strings.HasPrefix(name, "-") {
			// a flag that is refused
			refused := regexp.QuoteMeta(strings.TrimLeft(name, "-"))
			said = regexp.MustCompile(`(^|[\s(,"])-`+refused+`([\s:,;=")]|$)`).
				ReplaceAllString(said, "$1$2")
		}
	}
	for line := range strings.Lines(said) {
		if !strings.HasPrefix(line, "haf: ") {
			continue // an account of the work, in which reward: is no package
		}
		text := strings.TrimPrefix(line, "haf: ")
		if message.Plain(text, message.Given(args)...) != text {
			return fmt.Errorf("names a package: %s", line)
		}
	}
	if flagsOf()[verb] == nil {
		return nil // no verb of haf
	}
	if flag := foreignFlag(verb, said); flag != "" {
		return fmt.Errorf("says %s, which haf %s does not have", flag, verb)
	}
	return nil
}

// TestForeignFlag wants a flag of another verb to be found, but not where its verb stands before
// it.
func TestForeignFlag(t *testing.T) {
	for said, want := range map[string]string{
		"give -data FILE": "",
		"give -port 80":   "-port",
		"name it with haf serve -addr HOST, or -data":   "",
		"then: haf serve -data x; haf -json eval -data": "-serve-has-no-data",
		"see who may with: ls -ld /x; -suite all":       "",
		"the head-to-head of -1 and x-y":                "",
	} {
		if got := foreignFlag("eval", said); got != want {
			t.Errorf("%q: found %q, want %q", said, got, want)
		}
	}
}

// TestMessagesNameFlags wants every flag in a text of the source to be one of some verb.
func TestMessagesNameFlags(t *testing.T) {
	all := map[string]bool{}
	for _, flags := range flagsOf() {
		for _, f := range flags {
			all[f] = true
		}
	}
	texts := 0
	err := filepath.WalkDir(shared.Root(), func(path string, d fs.DirEntry, err error) error {
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "internal" && path != shared.Root()) {
			return fs.SkipDir // programs for developers have flags of their own
		}
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING || literal.Value[0] == '`' {
				return true // tags and programs
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Error(err)
			}
			if !strings.Contains(text, " ") {
				return true // a part of a command line or of a name
			}
			texts++
			own := otherCommand.ReplaceAllString(text, "")
			for _, flag := range saidFlag.FindAllStringSubmatch(own, -1) {
				if !all[flag[1]] {
					t.Errorf("%s: %q says -%s, which no verb has", path, text, flag[1])
				}
			}
			return true
		})
		return nil
	})
	if err != nil || texts < 1000 {
		t.Errorf("%d texts: %v", texts, err)
	}
}

// TestExistingOutputs wants every verb to leave an output alone that is there already, to say so
// before it begins its work, and to end with one code.
func TestExistingOutputs(t *testing.T) {
	h := newHostile(t)
	h.write("out", []byte("mine\n"))
	h.write("run/manifest.json", []byte("{}\n"))
	h.write("notes/report.md", []byte("mine\n"))
	h.settle()
	resumed := []string{"paper", "compare"} // their folder holds what they resume
	for verb, flags := range flagsOf() {
		if !slices.Contains(flags, "out") || slices.Contains(resumed, verb) {
			continue
		}
		args := slices.Clone(verbArgs[verb])
		want := "out exists already: name another output, or remove it"
		if i := slices.Index(args, "-out"); i > 0 {
			args = slices.Delete(args, i, i+2)
		}
		switch verb {
		case "train", "rlhf":
			args, want = append(args, "-out", "run"), "run holds a run already: resume it with -resume run"
		case "report":
			continue // a page is drawn anew: testdata/script/report.txtar
		default:
			args = append(args, "-out", "out")
		}
		h.refuses(hostileCase{"existing output", args, exitFailed, want})
	}
}
