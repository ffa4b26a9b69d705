package tokenizer

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/parser"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// What transformers adds to Jinja, and what gonja has otherwise than Python. A chat template comes from whoever made the
// model, so nothing here reads files or the environment.
//
// These differences of gonja remain, for they sit in its evaluator: none is the same as undefined and is written as
// nothing; single characters of a text are bytes. jinja_test.go lists them; no published template in testdata depends
// on them.

func jinjaConfig() *config.Config {
	c := config.New()
	c.KeepTrailingNewline = true // flatten has seen to it
	return c
}

const rootName = "chat template"

// onlyRoot is a loader that knows the template itself and no other.
type onlyRoot string

func (o onlyRoot) Read(path string) (io.Reader, error) {
	if path != rootName {
		return nil, fmt.Errorf("a chat template cannot read %q", path)
	}
	return strings.NewReader(string(o)), nil
}

func (o onlyRoot) Resolve(path string) (string, error) { return path, nil }

func (o onlyRoot) Inherit(string) (loaders.Loader, error) { return o, nil }

var statements = []string{"for", "if", "set", "filter", "with", "call", "break", "continue"}

func jinjaEnvironment() *exec.Environment {
	parsers := map[string]parser.ControlStructureParser{"generation": parseGeneration, "macro": parseMacro}
	for _, name := range statements {
		if p, ok := builtins.ControlStructures.Get(name); ok {
			parsers[name] = p
		}
	}
	globals := exec.EmptyContext().Update(builtins.GlobalFunctions)
	globals.Set("raise_exception", func(params *exec.VarArgs) (string, error) {
		return "", fmt.Errorf("the template refuses the conversation: %s", params.First().String())
	})
	globals.Set("range", jinjaRange)
	known := maps.Clone(operatorFilters)
	for _, name := range builtinFilters {
		if filter, ok := builtins.Filters.Get(name); ok {
			known[name] = filter
		}
	}
	filters := exec.NewFilterSet(known)
	for name, filter := range map[string]exec.FilterFunction{
		"tojson": filterToJSON, "items": filterItems, "trim": filterTrim, pickName: filterPick, payName: filterPay, madeName: filterMade, writeName: filterWrite,
	} {
		// Replace fails only for a name that gonja lacks; then the filter is new.
		if filters.Replace(name, filter) != nil {
			_ = filters.Register(name, filter)
		}
	}
	for _, name := range []string{"list", "map", "reject", "rejectattr", "select", "selectattr", "sort", "unique", "reverse", "slice", "batch"} {
		if filter, ok := filters.Get(name); ok {
			_ = filters.Replace(name, func(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
				return asList(filter(e, in, params))
			})
		}
	}
	for name, size := range guardedFilters {
		if filter, ok := filters.Get(name); ok {
			_ = filters.Replace(name, guarded(filter, size))
		}
	}
	return &exec.Environment{
		Context:           globals,
		Filters:           filters,
		Tests:             builtins.Tests,
		ControlStructures: exec.NewControlStructureSet(parsers),
		Methods: exec.Methods{
			Bool: builtins.Methods.Bool, Int: builtins.Methods.Int, Float: builtins.Methods.Float, List: builtins.Methods.List,
			Str:  methods(builtins.Methods.Str, stringMethods),
			Dict: methods(builtins.Methods.Dict, dictMethods),
		},
	}
}

// keptMethods are gonja's methods that do as Python's (testdata/jinja.py tries each); those that change a value are missing, as in the sandbox.
var keptMethods = strings.Fields(`capitalize endswith isalnum isalpha isascii isdecimal isdigit islower isnumeric isspace istitle
	isupper lower partition removeprefix removesuffix rpartition startswith swapcase title upper`)

func methods[T any](from *exec.MethodSet[T], own map[string]exec.Method[T]) *exec.MethodSet[T] {
	all := maps.Clone(own)
	for _, name := range keptMethods {
		if m, ok := from.Get(name); ok && all[name] == nil {
			all[name] = m
		}
	}
	return exec.NewMethodSet(all)
}

// block is {% generation %}: what the assistant said, marked for training. It renders as its content.
type block struct {
	at   *tokens.Token
	body *nodes.Wrapper
}

func parseGeneration(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	at := p.Current()
	body, end, err := p.WrapUntil("endgeneration")
	if err != nil {
		return nil, err
	}
	if !args.End() || !end.End() {
		return nil, errors.New("generation takes no arguments")
	}
	return &block{at, body}, nil
}

func (b *block) Position() *tokens.Token { return b.at }

func (b *block) String() string { return "generation" }

func (b *block) Execute(r *exec.Renderer, _ *nodes.ControlStructureBlock) error {
	return r.ExecuteWrapper(b.body)
}

// macro is {% macro %} with a bound on recursion: a stack that overflows cannot be recovered from.
type macro struct {
	nodes.ControlStructure
	name string
}

func parseMacro(p *parser.Parser, args *parser.Parser) (nodes.ControlStructure, error) {
	name := args.Current()
	parse, ok := builtins.ControlStructures.Get("macro")
	if !ok {
		return nil, errors.New("macro is missing")
	}
	inner, err := parse(p, args)
	if err != nil {
		return nil, err
	}
	return &macro{inner, name.Val}, nil
}

func (m *macro) Execute(r *exec.Renderer, tag *nodes.ControlStructureBlock) error {
	inner, ok := m.ControlStructure.(exec.ControlStructure)
	if !ok {
		return errors.New("macro cannot be executed")
	}
	if err := inner.Execute(r, tag); err != nil {
		return err
	}
	defined, _ := r.Environment.Context.Get(m.name)
	call, ok := defined.(exec.Macro)
	if !ok {
		return fmt.Errorf("macro %q was not defined", m.name)
	}
	b := budgetOf(r.Environment)
	r.Environment.Context.Set(m.name, func(params *exec.VarArgs) *exec.Value {
		if b.depth++; b.depth > maxDepth {
			return exec.AsValue(fmt.Errorf("macros call each other more than %d deep", maxDepth))
		}
		defer func() { b.depth-- }()
		return call(params)
	})
	return nil
}

// maxRange is the sandbox's bound.
const maxRange = 100000

func jinjaRange(params *exec.VarArgs) (any, error) {
	var bounds []int
	for _, arg := range params.Args {
		if !arg.IsInteger() {
			return nil, fmt.Errorf("range: %q is not an integer", arg.String())
		}
		bounds = append(bounds, arg.Integer())
	}
	start, stop, step := 0, 0, 1
	switch len(bounds) {
	case 1:
		stop = bounds[0]
	case 2:
		start, stop = bounds[0], bounds[1]
	case 3:
		start, stop, step = bounds[0], bounds[1], bounds[2]
	}
	if len(bounds) == 0 || len(bounds) > 3 || step == 0 {
		return nil, errors.New("range takes [start,] stop [, step], step not 0")
	}
	list := jinjaList{}
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(list) == maxRange {
			return nil, fmt.Errorf("range: more than %d numbers", maxRange)
		}
		list = append(list, i)
	}
	return list, nil
}
