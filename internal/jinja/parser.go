package jinja

import (
	"errors"
	"fmt"
	"slices"
)

// A parser makes a tree of a template's tokens. Its functions are named after the grammar of
// Jinja's own parser, whose order of precedence they follow.
type parser struct {
	tokens []token
	at     int
	depth  int            // of what is being parsed, against maxNesting
	loops  int            // loops around what is being parsed, for break and continue
	ids    map[string]int // of variables
	named  [len(extraNames)]bool
}

// parse returns the body of a template.
func parse(source string, ids map[string]int) (body, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("the template has %d bytes: at most %d are accepted",
			len(source), maxSource)
	}
	tokens, err := tokenize(source)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens, ids: ids}
	root, err := p.body("the template")
	if err != nil {
		var located *Error
		if !errors.As(err, &located) {
			err = &Error{p.peek().line, err}
		}
		return nil, err
	}
	return root, nil
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != eof {
		p.at++
	}
	return t
}

// is reports whether the next token is an operator or keyword.
func (p *parser) is(kind tokenKind, text string) bool {
	t := p.peek()
	return t.kind == kind && t.text == text
}

// take consumes the next token if it is the given operator or keyword.
func (p *parser) take(kind tokenKind, text string) bool {
	if p.is(kind, text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(kind tokenKind, text string) error {
	if !p.take(kind, text) {
		return fmt.Errorf("unexpected %s, want %q", p.peek(), text)
	}
	return nil
}

func (p *parser) expectName() (string, error) {
	if p.peek().kind != name {
		return "", fmt.Errorf("unexpected %s, want a name", p.peek())
	}
	return p.next().text, nil
}

// enter counts a level of nesting; leave is to follow.
func (p *parser) enter() error {
	if p.depth++; p.depth > maxNesting {
		return fmt.Errorf("blocks and brackets nest deeper than %d", maxNesting)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

// id returns the number of a variable.
func (p *parser) id(name string) int {
	id, ok := p.ids[name]
	if !ok {
		id = len(p.ids)
		p.ids[name] = id
	}
	return id
}

// body reads nodes up to a tag that begins with one of the given words, of which it leaves the
// word to be read. Without words it reads the whole template. What names the block in an error.
func (p *parser) body(what string, until ...string) (body, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var out body
	for {
		t := p.next()
		switch t.kind {
		case data:
			out = append(out, &textNode{t.text})
		case outputBegin:
			e, err := p.tuple(true)
			if err != nil {
				return nil, err
			}
			if err := p.expect(outputEnd, "}}"); err != nil {
				return nil, err
			}
			out = append(out, &outputNode{e, t.line})
		case tagBegin:
			if word := p.peek(); word.kind == name && slices.Contains(until, word.text) {
				return out, nil
			}
			n, err := p.statement()
			if err != nil {
				return nil, err
			}
			if n != nil {
				out = append(out, n)
			}
		default:
			if len(until) == 0 {
				return out, nil
			}
			return nil, fmt.Errorf("unexpected %s: %s is not closed", t, what)
		}
	}
}

// block reads the end of the opening tag, a body, and the word that ends it.
func (p *parser) block(what string, until ...string) (body, string, error) {
	if err := p.expect(tagEnd, "%}"); err != nil {
		return nil, "", err
	}
	b, err := p.body("{% "+what+" %}", until...)
	if err != nil {
		return nil, "", err
	}
	return b, p.next().text, nil
}

// closed is block for a block that ends with a one-word tag.
func (p *parser) closed(what, until string) (body, error) {
	b, _, err := p.block(what, until)
	if err != nil {
		return nil, err
	}
	return b, p.expect(tagEnd, "%}")
}

// statement parses the rest of a tag after {%, and the blocks that belong to it.
func (p *parser) statement() (node, error) {
	t := p.next()
	if t.kind != name {
		return nil, fmt.Errorf("unexpected %s, want a statement", t)
	}
	switch t.text {
	case "if":
		return p.parseIf(t.line)
	case "for":
		return p.parseFor(t.line)
	case "set":
		return p.parseSet(t.line)
	case "macro":
		return p.parseMacro()
	case "call":
		return p.parseCallBlock(t.line)
	case "filter":
		return p.parseFilterBlock(t.line)
	case "with":
		return p.parseWith(t.line)
	case "generation":
		return p.parseGeneration()
	case "block":
		return p.parseBlock()
	case "print":
		e, err := p.tuple(true)
		if err != nil {
			return nil, err
		}
		return &outputNode{e, t.line}, p.expect(tagEnd, "%}")
	case "break", "continue":
		if p.loops == 0 {
			return nil, fmt.Errorf("%s outside a loop", t.text)
		}
		return &jumpNode{t.text == "break"}, p.expect(tagEnd, "%}")
	}
	return nil, fmt.Errorf("the statement %q is not known here", t.text)
}

func (p *parser) parseIf(line int) (node, error) {
	out := &ifNode{line: line}
	for {
		test, err := p.tuple(false)
		if err != nil {
			return nil, err
		}
		then, word, err := p.block("if", "elif", "else", "endif")
		if err != nil {
			return nil, err
		}
		out.branches = append(out.branches, branch{test, then})
		switch word {
		case "else":
			out.other, err = p.closed("if", "endif")
			return out, err
		case "endif":
			return out, p.expect(tagEnd, "%}")
		}
	}
}

func (p *parser) parseFor(line int) (node, error) {
	out := &forNode{line: line, loop: p.id("loop")}
	var err error
	if out.target, err = p.target(false, "in"); err != nil {
		return nil, err
	}
	if err := p.expect(name, "in"); err != nil {
		return nil, err
	}
	if out.items, err = p.tuple(false, "recursive"); err != nil {
		return nil, err
	}
	if p.take(name, "if") {
		if out.test, err = p.expression(); err != nil {
			return nil, err
		}
	}
	out.recursive = p.take(name, "recursive")
	p.loops++
	var word string
	out.body, word, err = p.block("for", "else", "endfor")
	p.loops--
	if err != nil {
		return nil, err
	}
	if word == "else" {
		out.other, err = p.closed("for", "endfor")
		return out, err
	}
	return out, p.expect(tagEnd, "%}")
}

func (p *parser) parseSet(line int) (node, error) {
	to, err := p.target(true)
	if err != nil {
		return nil, err
	}
	if p.take(operator, "=") {
		value, err := p.tuple(true)
		if err != nil {
			return nil, err
		}
		return &setNode{to, value, line}, p.expect(tagEnd, "%}")
	}
	captured := &captureNode{}
	var value expr = captured
	if p.is(operator, "|") {
		if value, err = p.filters(value); err != nil {
			return nil, err
		}
	}
	captured.body, err = p.closed("set", "endset")
	return &setNode{to, value, line}, err
}

func (p *parser) parseFilterBlock(line int) (node, error) {
	captured := &captureNode{}
	value, err := p.filter(captured)
	if err == nil && p.is(operator, "|") {
		value, err = p.filters(value)
	}
	if err != nil {
		return nil, err
	}
	captured.body, err = p.closed("filter", "endfilter")
	return &outputNode{value, line}, err
}

func (p *parser) parseWith(line int) (node, error) {
	out := &withNode{line: line}
	for !p.is(tagEnd, "%}") {
		if len(out.targets) > 0 {
			if err := p.expect(operator, ","); err != nil {
				return nil, err
			}
		}
		to, err := p.primaryTarget(false)
		if err != nil {
			return nil, err
		}
		if err := p.expect(operator, "="); err != nil {
			return nil, err
		}
		value, err := p.expression()
		if err != nil {
			return nil, err
		}
		out.targets, out.values = append(out.targets, to), append(out.values, value)
	}
	var err error
	out.body, err = p.closed("with", "endwith")
	return out, err
}

// outside parses the body of a macro, which no loop around it can be left from.
func (p *parser) outside(what, until string) (body, error) {
	loops := p.loops
	p.loops = 0
	defer func() { p.loops = loops }()
	return p.closed(what, until)
}

func (p *parser) parseGeneration() (node, error) {
	b, err := p.outside("generation", "endgeneration")
	return &scopeNode{b, false}, err
}

func (p *parser) parseBlock() (node, error) {
	title, err := p.expectName()
	if err != nil {
		return nil, err
	}
	loops := p.loops
	p.loops = 0
	b, _, err := p.block("block", "endblock")
	p.loops = loops
	if err != nil {
		return nil, err
	}
	p.take(name, title)
	return &scopeNode{b, true}, p.expect(tagEnd, "%}")
}

func (p *parser) parseMacro() (node, error) {
	title, err := p.expectName()
	if err != nil {
		return nil, err
	}
	m := &macro{name: title}
	err = p.extras(m, func() error {
		if err := p.parameters(m); err != nil {
			return err
		}
		m.body, err = p.outside("macro", "endmacro")
		return err
	})
	return &macroNode{m, p.id(title)}, err
}

// parameters reads a macro's parameters in parentheses.
func (p *parser) parameters(m *macro) error {
	if err := p.expect(operator, "("); err != nil {
		return err
	}
	for len(m.params) == 0 || !p.is(operator, ")") {
		if len(m.params) > 0 {
			if err := p.expect(operator, ","); err != nil {
				return err
			}
		} else if p.is(operator, ")") {
			break
		}
		title, err := p.expectName()
		if err != nil {
			return err
		}
		param := parameter{name: title, id: p.id(title)}
		if p.take(operator, "=") {
			if param.fallback, err = p.expression(); err != nil {
				return err
			}
		} else if n := len(m.params); n > 0 && m.params[n-1].fallback != nil {
			return errors.New("a parameter without a default follows one with a default")
		}
		m.params = append(m.params, param)
	}
	return p.expect(operator, ")")
}

func (p *parser) parseCallBlock(line int) (node, error) {
	m := &macro{name: "caller"}
	if p.is(operator, "(") {
		if err := p.parameters(m); err != nil {
			return nil, err
		}
	}
	e, err := p.expression()
	if err != nil {
		return nil, err
	}
	call, ok := e.(*callExpr)
	if !ok {
		return nil, errors.New("{% call %} wants a call")
	}
	call.block = m
	err = p.extras(m, func() error {
		m.body, err = p.outside("call", "endcall")
		return err
	})
	return &outputNode{call, line}, err
}

// extras records which of extraNames occur in the parsed source.
func (p *parser) extras(m *macro, parse func() error) error {
	outer := p.named
	p.named = [len(extraNames)]bool{}
	err := parse()
	for i, title := range extraNames {
		m.extras[i] = extra{p.id(title), p.named[i]}
		p.named[i] = p.named[i] || outer[i]
	}
	return err
}

// target parses the target of an assignment: a name, a namespace's attribute, or a tuple of these.
func (p *parser) target(attributes bool, end ...string) (target, error) {
	var out []target
	for {
		if len(out) > 0 && p.endOfTuple(end) {
			break
		}
		one, err := p.primaryTarget(attributes)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
		if !p.take(operator, ",") {
			if len(out) == 1 {
				return one, nil
			}
			break
		}
	}
	return tupleTarget(out), nil
}

func (p *parser) primaryTarget(attributes bool) (target, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.take(operator, "(") {
		inside, err := p.target(attributes)
		if err != nil {
			return nil, err
		}
		return inside, p.expect(operator, ")")
	}
	word, err := p.expectName()
	if err != nil {
		return nil, err
	}
	if _, ok := constants[word]; ok {
		return nil, fmt.Errorf("cannot assign to %s", word)
	}
	id := p.id(word)
	if attributes && p.take(operator, ".") {
		attr, err := p.expectName()
		return attrTarget{id, attr}, err
	}
	return nameTarget(id), nil
}
