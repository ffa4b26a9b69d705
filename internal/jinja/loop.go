package jinja

import "errors"

type forNode struct {
	target    target
	items     expr
	test      expr // nil: all items
	recursive bool
	body      body
	other     body // if there is no item
	loop      int  // the id of the name loop
	line      int
}

// A loop is the variable of that name in a for block.
type loop struct {
	node    *forNode
	scope   *scope // around the loop
	items   sequence
	at      int
	depth   int
	changed []Value // what loop.changed was last called with
}

func (n *forNode) exec(r *run, s *scope) (jump, error) {
	v, err := r.eval(n.items, s)
	if err != nil {
		return onward, located(n.line, err)
	}
	return n.through(r, s, v, 0)
}

// through runs the loop over a value.
func (n *forNode) through(r *run, s *scope, v Value, depth int) (jump, error) {
	items, err := r.iterate(v)
	if err == nil && n.test != nil {
		items, err = n.chosen(r, s, items)
	}
	if err != nil {
		return onward, located(n.line, err)
	}
	l := &loop{node: n, scope: s, items: items, depth: depth}
	for ; l.at < items.len(); l.at++ {
		if err := r.spend(1); err != nil {
			return onward, located(n.line, err)
		}
		inner := newScope(s)
		r.set(inner, n.loop, l)
		if err := n.target.assign(r, inner, items.at(l.at)); err != nil {
			return onward, located(n.line, err)
		}
		j, err := n.body.exec(r, inner)
		if err != nil {
			return onward, err
		}
		if j == toEnd {
			break
		}
	}
	if items.len() == 0 {
		return n.other.exec(r, s)
	}
	return onward, nil
}

// chosen returns the items that pass the loop's test.
func (n *forNode) chosen(r *run, s *scope, all sequence) (sequence, error) {
	var out []Value
	for i := range all.len() {
		inner := newScope(s)
		if err := n.target.assign(r, inner, all.at(i)); err != nil {
			return sequence{}, err
		}
		v, err := r.eval(n.test, inner)
		if err != nil {
			return sequence{}, err
		}
		if truth(v) {
			if err := r.pay(itemSize); err != nil {
				return sequence{}, err
			}
			out = append(out, all.at(i))
		}
	}
	return sequence{items: out}, nil
}

// attr returns an attribute of the loop, or nil.
func (l *loop) attr(name string) Value {
	n := l.items.len()
	switch name {
	case "index":
		return Int(l.at + 1)
	case "index0":
		return Int(l.at)
	case "revindex":
		return Int(n - l.at)
	case "revindex0":
		return Int(n - l.at - 1)
	case "first":
		return Bool(l.at == 0)
	case "last":
		return Bool(l.at == n-1)
	case "length":
		return Int(n)
	case "depth":
		return Int(l.depth + 1)
	case "depth0":
		return Int(l.depth)
	case "previtem":
		if l.at > 0 {
			return l.items.at(l.at - 1)
		}
	case "nextitem":
		if l.at+1 < n {
			return l.items.at(l.at + 1)
		}
	case "cycle":
		return &function{name: "loop.cycle", call: func(r *run, a arguments) (Value, error) {
			if len(a.positional) == 0 {
				return nil, errors.New("cycle wants values")
			}
			return a.positional[l.at%len(a.positional)], nil
		}}
	case "changed":
		return &function{name: "loop.changed", call: func(r *run, a arguments) (Value, error) {
			same, err := r.equalItems(l.changed, a.positional)
			same = same && l.changed != nil
			l.changed = append([]Value{}, a.positional...)
			return Bool(!same), err
		}}
	}
	return nil
}

// again is loop(items) of a recursive loop: the text of the loop over other items.
func (l *loop) again(r *run, a arguments) (Value, error) {
	if !l.node.recursive {
		return nil, errors.New("the loop is not recursive")
	}
	v, err := a.bind("loop", 1, "iterable")
	if err != nil {
		return nil, err
	}
	if err := r.enterMacro(); err != nil {
		return nil, err
	}
	defer r.leaveMacro()
	return r.capture(func() error {
		_, err := l.node.through(r, l.scope, v[0], l.depth+1)
		return err
	})
}
