package jinja

import (
	"fmt"
	"time"
)

// An Error names the line of the template in which something failed.
type Error struct {
	Line int
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Template is a parsed template. It is immutable and safe for concurrent use.
type Template struct {
	root body
	ids  map[string]int
	// globals holds the functions that the template can call, by the ids of their names.
	globals []Value
}

// Parse reads a template.
func Parse(source string) (*Template, error) {
	t := &Template{ids: map[string]int{}}
	var err error
	if t.root, err = parse(source, t.ids); err != nil {
		return nil, err
	}
	t.globals = make([]Value, len(t.ids))
	for title, f := range globals {
		if id, ok := t.ids[title]; ok {
			t.globals[id] = f
		}
	}
	return t, nil
}

// Mentions reports whether a variable or function of the given name stands anywhere in the
// template.
func (t *Template) Mentions(name string) bool {
	_, ok := t.ids[name]
	return ok
}

// Variables are the values that a rendering can read by name.
type Variables map[string]Value

// Render renders the template. Now is the time that strftime_now writes.
func (t *Template) Render(vars Variables, now func() time.Time, limits Limits) (string, error) {
	r := &run{budget: newBudget(limits), now: now, out: make([]byte, 0, 1024)}
	r.root = make([]Value, len(t.globals))
	copy(r.root, t.globals)
	for name, v := range vars {
		if id, ok := t.ids[name]; ok {
			r.root[id] = v
		}
	}
	_, err := t.root.exec(r, nil)
	if r.failed != nil { // where a limit was reached, another error follows from it
		if located, ok := err.(*Error); ok { //nolint:errorlint // exec returns no wrapped ones
			return "", &Error{located.Line, r.failed}
		}
		return "", r.failed
	}
	if err != nil {
		return "", err
	}
	return string(r.out), nil
}

// A run is one rendering.
type run struct {
	budget
	root  []Value // the variables at the top, by id; nil for a missing one
	out   []byte  // what is written to: the rendering, or the text of a block
	now   func() time.Time
	depth int // of evaluation
	calls int // of macros
}

// A scope holds the variables of a loop's turn, a macro's call or a block. A nil scope is the top.
type scope struct {
	parent *scope
	ids    []int
	values []Value

	firstIDs    [4]int // what ids and values begin with, to be made at once
	firstValues [4]Value
}

func newScope(parent *scope) *scope {
	s := &scope{parent: parent}
	s.ids, s.values = s.firstIDs[:0], s.firstValues[:0]
	return s
}

// get returns a variable, or nil.
func (r *run) get(s *scope, id int) Value {
	for ; s != nil; s = s.parent {
		for i, have := range s.ids {
			if have == id {
				return s.values[i]
			}
		}
	}
	return r.root[id]
}

// set sets a variable of the scope itself.
func (r *run) set(s *scope, id int, v Value) {
	if s == nil {
		r.root[id] = v
		return
	}
	for i, have := range s.ids {
		if have == id {
			s.values[i] = v
			return
		}
	}
	s.ids, s.values = append(s.ids, id), append(s.values, v)
}

// eval evaluates an expression. It takes a step, and bounds the depth of the stack.
func (r *run) eval(e expr, s *scope) (Value, error) {
	if c, ok := e.(*constExpr); ok {
		return c.value, nil
	}
	if err := r.spend(1); err != nil {
		return nil, err
	}
	if r.depth++; r.depth > maxEvalDepth {
		return nil, errTooDeep
	}
	v, err := e.eval(r, s)
	r.depth--
	return v, err
}

// write appends to the output.
func (r *run) write(s string) error {
	if len(r.out)+len(s) > maxText {
		return errTooLong
	}
	if err := r.pay(len(s)); err != nil {
		return err
	}
	r.out = append(r.out, s...)
	return nil
}

// capture returns the output of a function.
func (r *run) capture(f func() error) (Value, error) {
	outer := r.out
	r.out = nil
	err := f()
	made := r.out
	r.out = outer
	return Str(made), err
}
