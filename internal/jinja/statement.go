package jinja

import "errors"

// A node is a statement or a text.
type node interface {
	// exec carries the statement out. The jump is not none inside a loop that is to be left.
	exec(r *run, s *scope) (jump, error)
}

// A jump says how a statement ended.
type jump uint8

const (
	onward jump = iota
	toNext      // {% continue %}
	toEnd       // {% break %}
)

type body []node

func (b body) exec(r *run, s *scope) (jump, error) {
	for _, n := range b {
		if j, err := n.exec(r, s); j != onward || err != nil {
			return j, err
		}
	}
	return onward, nil
}

// located adds a line to an error that has none.
func located(line int, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := err.(*Error); ok { //nolint:errorlint // an error with a line is never wrapped
		return err
	}
	return &Error{line, err}
}

type textNode struct{ text string }

func (n *textNode) exec(r *run, _ *scope) (jump, error) { return onward, r.write(n.text) }

type outputNode struct {
	value expr
	line  int
}

func (n *outputNode) exec(r *run, s *scope) (jump, error) {
	v, err := r.eval(n.value, s)
	if err == nil {
		if t, ok := v.(Str); ok {
			err = r.write(string(t))
		} else {
			w := writer{r: r, out: r.out}
			err = w.str(v, 0)
			r.out = w.out
		}
	}
	return onward, located(n.line, err)
}

type branch struct {
	test expr
	then body
}

type ifNode struct {
	branches []branch
	other    body
	line     int
}

func (n *ifNode) exec(r *run, s *scope) (jump, error) {
	for i := range n.branches {
		v, err := r.eval(n.branches[i].test, s)
		if err != nil {
			return onward, located(n.line, err)
		}
		if truth(v) {
			return n.branches[i].then.exec(r, s)
		}
	}
	return n.other.exec(r, s)
}

type jumpNode struct{ leaves bool }

func (n *jumpNode) exec(*run, *scope) (jump, error) {
	if n.leaves {
		return toEnd, nil
	}
	return toNext, nil
}

type setNode struct {
	to    target
	value expr
	line  int
}

func (n *setNode) exec(r *run, s *scope) (jump, error) {
	v, err := r.eval(n.value, s)
	if err == nil {
		err = n.to.assign(r, s, v)
	}
	return onward, located(n.line, err)
}

// captureNode is the text of a block, as in {% set x %} and {% filter %}.
type captureNode struct{ body body }

func (n *captureNode) eval(r *run, s *scope) (Value, error) {
	return r.capture(func() error {
		_, err := n.body.exec(r, newScope(s))
		return err
	})
}

type withNode struct {
	targets []target
	values  []expr
	body    body
	line    int
}

func (n *withNode) exec(r *run, s *scope) (jump, error) {
	inner := newScope(s)
	for i, e := range n.values {
		v, err := r.eval(e, s)
		if err == nil {
			err = n.targets[i].assign(r, inner, v)
		}
		if err != nil {
			return onward, located(n.line, err)
		}
	}
	return n.body.exec(r, inner)
}

// scopeNode is {% generation %}, which renders as its body, or a {% block %}, which sees only the
// variables of the top.
type scopeNode struct {
	body  body
	alone bool
}

func (n *scopeNode) exec(r *run, s *scope) (jump, error) {
	if n.alone {
		s = nil
	}
	return n.body.exec(r, newScope(s))
}

type macroNode struct {
	macro *macro
	id    int
}

func (n *macroNode) exec(r *run, s *scope) (jump, error) {
	r.set(s, n.id, n.macro.bind(s))
	return onward, nil
}

// A target is the left side of an assignment.
type target interface {
	assign(r *run, s *scope, v Value) error
}

type nameTarget int

func (t nameTarget) assign(r *run, s *scope, v Value) error {
	r.set(s, int(t), v)
	return nil
}

type attrTarget struct {
	id   int
	attr string
}

func (t attrTarget) assign(r *run, s *scope, v Value) error {
	ns, ok := r.get(s, t.id).(*namespace)
	if !ok {
		return errors.New("attributes can only be set of a namespace")
	}
	if err := privateName(t.attr); err != nil {
		return err
	}
	return r.insert(ns.attrs, Str(t.attr), v)
}

type tupleTarget []target

func (t tupleTarget) assign(r *run, s *scope, v Value) error {
	items, err := r.items(v)
	if err != nil {
		return err
	}
	if len(items) != len(t) {
		return errors.New("the value has not as many items as there are names for them")
	}
	for i, one := range t {
		if err := one.assign(r, s, items[i]); err != nil {
			return err
		}
	}
	return nil
}
