package jinja

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// listOf returns a value's items as a new list, and pays for it.
func (r *run) listOf(v Value) ([]Value, error) {
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	return slices.Clone(items), r.payItems(len(items))
}

// lazily makes a filter return a generator, so that an error appears only at the first use of its
// result.
func lazily(f filter) filter {
	return func(r *run, v Value, a arguments) (Value, error) {
		out, err := f(r, v, a)
		if err != nil && r.failed == nil {
			return &iterator{err: err}, nil
		}
		return out, err
	}
}

func filterList(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("list", 0); err != nil {
		return nil, err
	}
	items, err := r.listOf(v)
	return &List{items: items}, err
}

func filterItems(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("items", 0); err != nil {
		return nil, err
	}
	switch v := v.(type) {
	case *Undefined:
		return &iterator{}, nil
	case *Dict:
		return &iterator{items: v.view(itemsView).items}, r.payItems(3 * v.Len())
	}
	return nil, badOperand("items", v)
}

func filterFirst(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("first", 0); err != nil {
		return nil, err
	}
	if it, ok := v.(*iterator); ok && it.err == nil { // of which only the first item is used up
		if len(it.items) == 0 {
			return &Undefined{"the first item of none"}, nil
		}
		first := it.items[0]
		it.items = it.items[1:]
		return first, nil
	}
	if _, ok := text(v); ok {
		if c := r.itemAt(v, 0); c != nil {
			return c, nil
		}
		return &Undefined{"the first item of none"}, nil
	}
	items, err := r.iterate(v)
	if err != nil || items.len() > 0 {
		return itemOrError(items, 0, err)
	}
	return &Undefined{"the first item of none"}, nil
}

func itemOrError(items sequence, i int, err error) (Value, error) {
	if err != nil {
		return nil, err
	}
	return items.at(i), nil
}

func filterLast(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("last", 0); err != nil {
		return nil, err
	}
	if _, ok := text(v); ok {
		if c := r.itemAt(v, -1); c != nil {
			return c, nil
		}
		return &Undefined{"the last item of none"}, nil
	}
	if _, ok := v.(*iterator); ok {
		return nil, badOperand("last", v)
	}
	items, err := r.iterate(v)
	if err != nil || items.len() > 0 {
		return itemOrError(items, items.len()-1, err)
	}
	return &Undefined{"the last item of none"}, nil
}

func filterReverse(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("reverse", 0); err != nil {
		return nil, err
	}
	if _, ok := text(v); ok {
		return r.slice(v, [3]Value{None{}, None{}, Int(-1)})
	}
	_, isIterator := v.(*iterator)
	items, err := r.listOf(v)
	slices.Reverse(items)
	if isIterator {
		return &List{items: items}, err
	}
	return &iterator{items: items}, err
}

func filterMap(r *run, v Value, a arguments) (Value, error) {
	if !truth(v) {
		return &iterator{}, nil
	}
	items, err := r.listOf(v)
	if err != nil {
		return nil, err
	}
	apply, err := mapping(r, a)
	if err != nil {
		return nil, err
	}
	for i, item := range items {
		if err := r.spend(1); err != nil {
			return nil, err
		}
		if items[i], err = apply(item); err != nil {
			return nil, err
		}
	}
	return &iterator{items: items}, nil
}

// mapping returns the function that map applies to an item: a filter, or the lookup of an
// attribute.
func mapping(r *run, a arguments) (func(v Value) (Value, error), error) {
	if len(a.positional) == 0 {
		p, err := a.bind("map", 1, "attribute", "default")
		if err != nil {
			return nil, err
		}
		c := newAccessor(p[0], p[1], nil)
		return func(v Value) (Value, error) { return c.of(r, v) }, nil
	}
	title, _ := text(a.positional[0])
	f := filters[title]
	if f == nil {
		return nil, fmt.Errorf("there is no filter %.100q", title)
	}
	rest := arguments{a.positional[1:], a.names, a.named}
	return func(v Value) (Value, error) { return f(r, v, rest) }, nil
}

// selector is one of select, reject, selectattr and rejectattr.
func selector(keep, byAttribute bool) filter {
	return func(r *run, v Value, a arguments) (Value, error) {
		if !truth(v) {
			return &iterator{}, nil
		}
		items, err := r.items(v)
		if err != nil {
			return nil, err
		}
		c := accessor{}
		if byAttribute {
			if len(a.positional) == 0 {
				return nil, errors.New("the filter wants an attribute")
			}
			c = newAccessor(a.positional[0], nil, nil)
			a.positional = a.positional[1:]
		}
		passes := test(func(_ *run, v Value, _ arguments) (bool, error) { return truth(v), nil })
		if len(a.positional) > 0 {
			if passes, err = findTest(a.positional[0]); err != nil {
				return nil, err
			}
			a.positional = a.positional[1:]
		}
		var out []Value
		for _, item := range items {
			if err := r.spend(1); err != nil {
				return nil, err
			}
			looked, err := c.of(r, item)
			if err != nil {
				return nil, err
			}
			ok, err := passes(r, looked, a)
			if err != nil {
				return nil, err
			}
			if ok == keep {
				out = append(out, item)
			}
		}
		return &iterator{items: out}, r.payItems(len(out))
	}
}

func filterJoin(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("join", 0, "d", "attribute")
	if err != nil {
		return nil, err
	}
	separator := ""
	if p[0] != nil {
		if separator, err = r.strOf(p[0]); err != nil {
			return nil, err
		}
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	c := newAccessor(p[1], nil, nil)
	w := writer{r: r}
	for i, item := range items {
		if err := r.spend(1); err != nil {
			return nil, err
		}
		if i > 0 {
			w.add(separator)
		}
		if item, err = c.of(r, item); err != nil {
			return nil, err
		}
		if err := w.str(item, 0); err != nil {
			return nil, err
		}
	}
	return Str(w.out), w.err
}

// sorted sorts items by keys, one key per item.
func (r *run) sorted(items, keys []Value, reverse Value) error {
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	sign := 1
	if reverse != nil && truth(reverse) {
		sign = -1
	}
	var failed error
	slices.SortStableFunc(order, func(i, j int) int {
		if failed != nil {
			return 0
		}
		if failed = r.spend(1); failed != nil {
			return 0
		}
		var o ordering
		if o, failed = r.order("<", keys[i], keys[j], 0); o == unordered {
			return 0
		}
		return sign * (int(o) - int(same))
	})
	old, oldKeys := slices.Clone(items), slices.Clone(keys)
	for to, from := range order {
		items[to], keys[to] = old[from], oldKeys[from]
	}
	return failed
}

func filterSort(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("sort", 0, "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	items, err := r.listOf(v)
	if err != nil {
		return nil, err
	}
	var by []accessor
	path, ok := text(p[2])
	if ok && strings.Contains(path, ",") {
		for part := range strings.SplitSeq(path, ",") {
			by = append(by, newAccessor(Str(part), nil, p[1]))
		}
	} else {
		by = []accessor{newAccessor(p[2], nil, p[1])}
	}
	keys := make([]Value, len(items))
	for i, item := range items {
		parts := make([]Value, len(by))
		for j, c := range by {
			if parts[j], err = c.key(r, item); err != nil {
				return nil, err
			}
		}
		keys[i] = &List{items: parts}
	}
	return &List{items: items}, r.sorted(items, keys, p[0])
}

func filterDictSort(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("dictsort", 0, "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := v.(*Dict)
	if !ok {
		return nil, badOperand("dictsort", v)
	}
	items := d.view(itemsView).items
	if err := r.payItems(4 * len(items)); err != nil {
		return nil, err
	}
	keys := slices.Clone(d.keys)
	if p[1] != nil {
		switch by, _ := text(p[1]); by {
		case "key":
		case "value":
			keys = slices.Clone(d.values)
		default:
			return nil, errors.New("dictsort sorts by key or by value")
		}
	}
	c := newAccessor(nil, nil, p[0])
	for i, k := range keys {
		if keys[i], err = c.key(r, k); err != nil {
			return nil, err
		}
	}
	return &List{items: items}, r.sorted(items, keys, p[2])
}

func filterGroupBy(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("groupby", 1, "attribute", "default", "case_sensitive")
	if err != nil {
		return nil, err
	}
	items, err := r.listOf(v)
	if err != nil {
		return nil, err
	}
	c := newAccessor(p[0], p[1], p[2])
	keys := make([]Value, len(items))
	for i, item := range items {
		if keys[i], err = c.key(r, item); err != nil {
			return nil, err
		}
	}
	if err := r.sorted(items, keys, nil); err != nil {
		return nil, err
	}
	out := &List{}
	var group *List
	for i, item := range items {
		if i > 0 {
			equal, err := r.equal(keys[i-1], keys[i], 0)
			if err != nil {
				return nil, err
			}
			if equal {
				group.items = append(group.items, item)
				continue
			}
		}
		title, err := c.of(r, item)
		if err != nil {
			return nil, err
		}
		group = NewList(item)
		out.items = append(out.items, &List{[]Value{title, group}, groupTuple})
	}
	return out, nil
}

// extreme is min or max: the first item that no other precedes.
func extreme(title string, wanted ordering) filter {
	return func(r *run, v Value, a arguments) (Value, error) {
		p, err := a.bind(title, 0, "case_sensitive", "attribute")
		if err != nil {
			return nil, err
		}
		items, err := r.items(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return &Undefined{"the " + title + " of no items"}, nil
		}
		c := newAccessor(p[1], nil, p[0])
		best := items[0]
		bestKey, err := c.key(r, best)
		for _, item := range items[1:] {
			if err != nil {
				return nil, err
			}
			var k Value
			if k, err = c.key(r, item); err != nil {
				return nil, err
			}
			var o ordering
			if o, err = r.order("<", k, bestKey, 0); o == wanted {
				best, bestKey = item, k
			}
		}
		return best, err
	}
}

func filterSum(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("sum", 0, "attribute", "start")
	if err != nil {
		return nil, err
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	total := Value(Int(0))
	if p[1] != nil {
		total = p[1]
	}
	if _, ok := text(total); ok {
		return nil, badOperand("sum", total)
	}
	c := newAccessor(p[0], nil, nil)
	for _, item := range items {
		if err := r.spend(1); err != nil {
			return nil, err
		}
		if item, err = c.of(r, item); err != nil {
			return nil, err
		}
		if total, err = r.binary("+", total, item); err != nil {
			return nil, err
		}
	}
	return total, nil
}

func filterUnique(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("unique", 0, "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	c := newAccessor(p[1], nil, p[0])
	seen := map[key]bool{}
	var out []Value
	for _, item := range items {
		k, err := c.key(r, item)
		if err != nil {
			return nil, err
		}
		hash, err := r.hash(k, 0)
		if err != nil {
			return nil, err
		}
		if err := r.pay(2 * itemSize); err != nil {
			return nil, err
		}
		if !seen[hash] {
			seen[hash] = true
			out = append(out, item)
		}
	}
	return &iterator{items: out}, nil
}

func filterBatch(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("batch", 1, "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	items, err := r.items(v)
	if err != nil {
		return nil, err
	}
	n, ok := integer(p[0])
	if !ok {
		return nil, badOperand("batch", p[0])
	}
	var out []Value
	var group *List
	for _, item := range items {
		if err := r.pay(2 * itemSize); err != nil {
			return nil, err
		}
		if group == nil || len(group.items) == n {
			group = NewList()
			out = append(out, group)
		}
		group.items = append(group.items, item)
	}
	if group != nil && p[1] != nil && p[1] != (None{}) {
		if err := r.payItems(max(n-len(group.items), 0)); err != nil {
			return nil, err
		}
		for len(group.items) < n {
			group.items = append(group.items, p[1])
		}
	}
	return &iterator{items: out}, nil
}

func filterSlice(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("slice", 1, "slices", "fill_with")
	if err != nil {
		return nil, err
	}
	items, err := r.listOf(v)
	if err != nil {
		return nil, err
	}
	n, ok := integer(p[0])
	if !ok || n == 0 {
		return nil, errors.New("slice wants a number of slices")
	}
	if err := r.payItems(3 * max(n, 0)); err != nil {
		return nil, err
	}
	size, longer := len(items)/max(n, 1), len(items)%max(n, 1)
	var out []Value
	for i := range n {
		count := size
		if i < longer {
			count++
		}
		part := slices.Clone(items[:count])
		items = items[count:]
		if p[1] != nil && p[1] != (None{}) && i >= longer {
			part = append(part, p[1])
		}
		out = append(out, &List{items: part})
	}
	return &iterator{items: out}, nil
}
