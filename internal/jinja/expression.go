package jinja

import (
	"errors"
	"fmt"
	"slices"
)

var constants = map[string]Value{
	"true": Bool(true), "True": Bool(true), "false": Bool(false), "False": Bool(false),
	"none": None{}, "None": None{},
}

// tuple reads an expression, or several with commas between them. Outside parentheses, conditional
// says whether a if b else c can stand here. The words in end end a tuple after its last comma.
func (p *parser) tuple(conditional bool, end ...string) (expr, error) {
	var items []expr
	for {
		if len(items) > 0 && p.endOfTuple(end) {
			break
		}
		var e expr
		var err error
		if conditional {
			e, err = p.expression()
		} else {
			e, err = p.or()
		}
		if err != nil {
			return nil, err
		}
		items = append(items, e)
		if !p.take(operator, ",") {
			if len(items) == 1 {
				return e, nil
			}
			break
		}
	}
	return &listExpr{items, tuple}, nil
}

func (p *parser) endOfTuple(end []string) bool {
	t := p.peek()
	return t.kind == outputEnd || t.kind == tagEnd || t.kind == eof || p.is(operator, ")") ||
		t.kind == name && slices.Contains(end, t.text)
}

// expression reads one expression; a if b else c is the loosest.
func (p *parser) expression() (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	e, err := p.or()
	for err == nil && p.take(name, "if") {
		c := &conditionalExpr{then: e}
		if c.test, err = p.or(); err != nil {
			break
		}
		if p.take(name, "else") {
			c.other, err = p.expression()
		}
		e = c
	}
	return e, err
}

func (p *parser) or() (expr, error) {
	left, err := p.and()
	for err == nil && p.take(name, "or") {
		var right expr
		right, err = p.and()
		left = &logicExpr{left, right, true}
	}
	return left, err
}

func (p *parser) and() (expr, error) {
	left, err := p.not()
	for err == nil && p.take(name, "and") {
		var right expr
		right, err = p.not()
		left = &logicExpr{left, right, false}
	}
	return left, err
}

func (p *parser) not() (expr, error) {
	if !p.take(name, "not") {
		return p.compare()
	}
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	e, err := p.not()
	return &notExpr{e}, err
}

// comparison reads the next token if it is a comparison.
func (p *parser) comparison() string {
	t := p.peek()
	switch {
	case t.kind == operator && slices.Contains([]string{"==", "!=", "<", ">", "<=", ">="}, t.text):
		return p.next().text
	case p.take(name, "in"):
		return "in"
	case p.is(name, "not") && p.tokens[p.at+1].kind == name && p.tokens[p.at+1].text == "in":
		p.at += 2
		return "not in"
	}
	return ""
}

func (p *parser) compare() (expr, error) {
	first, err := p.sum()
	if err != nil {
		return nil, err
	}
	var rest []comparison
	for op := p.comparison(); op != ""; op = p.comparison() {
		e, err := p.sum()
		if err != nil {
			return nil, err
		}
		rest = append(rest, comparison{op, e})
	}
	if rest == nil {
		return first, nil
	}
	return &compareExpr{first, rest}, nil
}

// binary reads operators of one level, which group to the left.
func (p *parser) binary(operand func() (expr, error), ops ...string) (expr, error) {
	left, err := operand()
	for err == nil {
		t := p.peek()
		if t.kind != operator || !slices.Contains(ops, t.text) {
			break
		}
		p.at++
		var right expr
		right, err = operand()
		left = &binaryExpr{t.text, left, right}
	}
	return left, err
}

func (p *parser) sum() (expr, error) { return p.binary(p.concat, "+", "-") }

func (p *parser) concat() (expr, error) {
	first, err := p.product()
	if err != nil || !p.is(operator, "~") {
		return first, err
	}
	parts := []expr{first}
	for p.take(operator, "~") {
		e, err := p.product()
		if err != nil {
			return nil, err
		}
		parts = append(parts, e)
	}
	return &concatExpr{parts}, nil
}

func (p *parser) product() (expr, error) { return p.binary(p.power, "*", "/", "//", "%") }

func (p *parser) power() (expr, error) {
	return p.binary(func() (expr, error) { return p.unary(true) }, "**")
}

func (p *parser) unary(filters bool) (expr, error) {
	if err := p.enter(); err != nil {
		return nil, err
	}
	defer p.leave()
	var e expr
	var err error
	if t := p.peek(); t.kind == operator && (t.text == "-" || t.text == "+") {
		p.at++
		e, err = p.unary(false)
		e = &signExpr{e, t.text == "-"}
	} else {
		e, err = p.primary()
	}
	if err == nil {
		e, err = p.postfix(e)
	}
	if err == nil && filters {
		e, err = p.filters(e)
	}
	return e, err
}

func (p *parser) primary() (expr, error) {
	t := p.next()
	switch t.kind {
	case name:
		if v, ok := constants[t.text]; ok {
			return &constExpr{v}, nil
		}
		if i := slices.Index(extraNames[:], t.text); i >= 0 {
			p.named[i] = true
		}
		return &nameExpr{p.id(t.text), &Undefined{fmt.Sprintf("%q", t.text)}}, nil
	case stringToken:
		s := t.text
		for p.peek().kind == stringToken {
			s += p.next().text
		}
		return &constExpr{Str(s)}, nil
	case integerToken, floatToken:
		v, err := parseNumber(t)
		return &constExpr{v}, err
	case operator:
		switch t.text {
		case "(":
			if p.take(operator, ")") {
				return &listExpr{nil, tuple}, nil
			}
			e, err := p.tuple(true)
			if err != nil {
				return nil, err
			}
			return e, p.expect(operator, ")")
		case "[":
			items, err := p.separated("]", p.expression)
			return &listExpr{items, plainList}, err
		case "{":
			return p.dict()
		}
	}
	return nil, fmt.Errorf("unexpected %s, want an expression", t)
}

// separated reads items with commas between them, and one after the last, up to a closing bracket.
func (p *parser) separated(closing string, item func() (expr, error)) ([]expr, error) {
	var items []expr
	for !p.take(operator, closing) {
		if len(items) > 0 {
			if err := p.expect(operator, ","); err != nil {
				return nil, err
			}
			if p.take(operator, closing) {
				break
			}
		}
		e, err := item()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
	}
	return items, nil
}

func (p *parser) dict() (expr, error) {
	out := &dictExpr{}
	_, err := p.separated("}", func() (expr, error) {
		k, err := p.expression()
		if err != nil {
			return nil, err
		}
		if err := p.expect(operator, ":"); err != nil {
			return nil, err
		}
		v, err := p.expression()
		out.keys, out.values = append(out.keys, k), append(out.values, v)
		return v, err
	})
	return out, err
}

// postfix reads attributes, subscripts and calls.
func (p *parser) postfix(e expr) (expr, error) {
	for {
		t := p.peek()
		if t.kind != operator {
			return e, nil
		}
		var err error
		switch t.text {
		case ".":
			p.at++
			e, err = p.attribute(e)
		case "[":
			p.at++
			e, err = p.subscript(e)
		case "(":
			e, err = p.call(e)
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func (p *parser) attribute(of expr) (expr, error) {
	t := p.next()
	switch t.kind {
	case name:
		return &attrExpr{of, t.text, &Undefined{fmt.Sprintf("the attribute %q", t.text)}}, nil
	case integerToken:
		v, err := parseNumber(t)
		return &itemExpr{of, &constExpr{v}}, err
	}
	return nil, fmt.Errorf("unexpected %s, want a name or a number", t)
}

func (p *parser) subscript(of expr) (expr, error) {
	var items []expr
	for len(items) == 0 || p.take(operator, ",") {
		e, err := p.subscribed()
		if err != nil {
			return nil, err
		}
		items = append(items, e)
	}
	if err := p.expect(operator, "]"); err != nil {
		return nil, err
	}
	if len(items) > 1 {
		for _, item := range items {
			if _, ok := item.(*sliceExpr); ok {
				return nil, errors.New("a slice among several subscripts, as in x[:, 1], selects " +
					"nothing: want x[start:stop:step]")
			}
		}
		return &itemExpr{of, &listExpr{items, tuple}}, nil
	}
	if s, ok := items[0].(*sliceExpr); ok {
		s.of = of
		return s, nil
	}
	return &itemExpr{of, items[0]}, nil
}

// subscribed reads what stands in brackets after a value: an expression, or start:stop:step.
func (p *parser) subscribed() (expr, error) {
	out := &sliceExpr{}
	bounds := [...]*expr{&out.start, &out.stop, &out.step}
	for i := 0; ; {
		switch {
		case p.is(operator, "]") || p.is(operator, ","):
			if i == 0 {
				return nil, fmt.Errorf("unexpected %s, want an expression", p.peek())
			}
			return out, nil
		case i < 2 && p.take(operator, ":"):
			i++
		default:
			e, err := p.expression()
			if err != nil {
				return nil, err
			}
			if i == 0 && !p.is(operator, ":") {
				return e, nil
			}
			if *bounds[i] != nil {
				return nil, fmt.Errorf("unexpected expression in a slice")
			}
			*bounds[i] = e
		}
	}
}

func (p *parser) call(of expr) (expr, error) {
	a, err := p.arguments()
	return &callExpr{callee: of, args: a}, err
}

// arguments reads a call's arguments in parentheses.
func (p *parser) arguments() (argExprs, error) {
	var out argExprs
	line := p.next().line // the opening parenthesis
	bad := fmt.Errorf("the arguments of a call in line %d stand in a wrong order", line)
	_, err := p.separated(")", func() (expr, error) {
		var err error
		var e expr
		switch {
		case p.take(operator, "*"):
			if out.star != nil || out.doubleStar != nil {
				return nil, bad
			}
			out.star, err = p.expression()
		case p.take(operator, "**"):
			if out.doubleStar != nil {
				return nil, bad
			}
			out.doubleStar, err = p.expression()
		case p.peek().kind == name && p.tokens[p.at+1].kind == operator &&
			p.tokens[p.at+1].text == "=":
			if out.doubleStar != nil {
				return nil, bad
			}
			title := p.next().text
			p.at++
			if slices.Contains(out.names, title) {
				return nil, fmt.Errorf("the argument %q is given twice", title)
			}
			e, err = p.expression()
			out.names, out.named = append(out.names, title), append(out.named, e)
		default:
			if out.star != nil || out.doubleStar != nil || out.names != nil {
				return nil, bad
			}
			e, err = p.expression()
			out.positional = append(out.positional, e)
		}
		return e, err
	})
	return out, err
}

// filters reads filters, tests and calls of their results.
func (p *parser) filters(e expr) (expr, error) {
	for {
		var err error
		switch {
		case p.take(operator, "|"):
			e, err = p.filter(e)
		case p.take(name, "is"):
			e, err = p.test(e)
		case p.is(operator, "("):
			e, err = p.call(e)
		default:
			return e, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// filter reads a filter's name and arguments.
func (p *parser) filter(of expr) (expr, error) {
	title, err := p.expectName()
	if err != nil {
		return nil, err
	}
	out := &applyExpr{of: of, kind: "filter", name: title, apply: filters[title]}
	if p.is(operator, "(") {
		out.args, err = p.arguments()
	}
	return out, err
}

// test reads a test's name and arguments, of which one can stand without parentheses.
func (p *parser) test(of expr) (expr, error) {
	negated := p.take(name, "not")
	title, err := p.expectName()
	if err != nil {
		return nil, err
	}
	out := &applyExpr{of: of, kind: "test", name: title, apply: ofTest(tests[title])}
	t := p.peek()
	switch {
	case p.is(operator, "("):
		out.args, err = p.arguments()
	case t.kind == name && slices.Contains([]string{"else", "or", "and"}, t.text):
	case p.is(name, "is"):
		return nil, fmt.Errorf("tests cannot be chained with is")
	case t.kind == name || t.kind == stringToken || t.kind == integerToken ||
		t.kind == floatToken || p.is(operator, "[") || p.is(operator, "{"):
		var e expr
		if e, err = p.primary(); err == nil {
			e, err = p.postfix(e)
		}
		out.args.positional = []expr{e}
	}
	if negated {
		return &notExpr{out}, err
	}
	return out, err
}
