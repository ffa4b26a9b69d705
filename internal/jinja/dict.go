package jinja

// indexFrom is the number of entries from which a Dict has an index; below, it is searched.
const indexFrom = 8

// A Dict is a dictionary in the order in which its keys came.
type Dict struct {
	keys, values []Value
	index        map[key]int // nil for few entries that all have text keys
}

// NewDict returns a dictionary of text keys: key, value, key, value, …
func NewDict(pairs ...Value) *Dict {
	d := &Dict{keys: make([]Value, 0, len(pairs)/2), values: make([]Value, 0, len(pairs)/2)}
	for i := 0; i+1 < len(pairs); i += 2 {
		if name, ok := pairs[i].(Str); ok {
			d.Set(string(name), pairs[i+1])
		}
	}
	return d
}

// Len returns the number of entries.
func (d *Dict) Len() int { return len(d.keys) }

// Get returns the value of a text key, or nil.
func (d *Dict) Get(name string) Value {
	if d.index != nil {
		if i, ok := d.index[key{kind: 's', s: name}]; ok {
			return d.values[i]
		}
		return nil
	}
	for i, k := range d.keys {
		if k == Str(name) {
			return d.values[i]
		}
	}
	return nil
}

// Set sets the value of a text key.
func (d *Dict) Set(name string, v Value) {
	if d.index == nil && len(d.keys) < indexFrom {
		for i, k := range d.keys {
			if k == Str(name) {
				d.values[i] = v
				return
			}
		}
		d.keys, d.values = append(d.keys, Str(name)), append(d.values, v)
		return
	}
	d.put(key{kind: 's', s: name}, Str(name), v)
}

// Update sets the text keys that another dictionary has.
func (d *Dict) Update(other *Dict) {
	for i, k := range other.keys {
		if name, ok := text(k); ok {
			d.Set(name, other.values[i])
		}
	}
}

// put sets the value of any key by its hash.
func (d *Dict) put(hash key, k, v Value) {
	if d.index == nil {
		d.index = make(map[key]int, 2*indexFrom)
		for i, old := range d.keys {
			s, _ := text(old)
			d.index[key{kind: 's', s: s}] = i
		}
	}
	if i, ok := d.index[hash]; ok {
		d.values[i] = v
		return
	}
	d.index[hash] = len(d.keys)
	d.keys, d.values = append(d.keys, k), append(d.values, v)
}

// lookup returns the value of any key, or nil.
func (r *run) lookup(d *Dict, k Value) (Value, error) {
	if s, ok := text(k); ok {
		return d.Get(s), nil
	}
	hash, err := r.hash(k, 0)
	if err != nil || d.index == nil {
		return nil, err
	}
	if i, ok := d.index[hash]; ok {
		return d.values[i], nil
	}
	return nil, nil
}

// insert sets the value of any key.
func (r *run) insert(d *Dict, k, v Value) error {
	if err := r.pay(2 * itemSize); err != nil {
		return err
	}
	if s, ok := k.(Str); ok {
		d.Set(string(s), v)
		return nil
	}
	hash, err := r.hash(k, 0)
	if err == nil {
		d.put(hash, k, v)
	}
	return err
}

// view returns a dictionary's keys, values or items.
func (d *Dict) view(kind listKind) *List {
	switch kind {
	case keysView:
		return &List{d.keys, kind}
	case valuesView:
		return &List{d.values, kind}
	}
	items := make([]Value, len(d.keys))
	for i, k := range d.keys {
		items[i] = newTuple(k, d.values[i])
	}
	return &List{items, kind}
}

// copied returns a copy that can be changed.
func (d *Dict) copied() *Dict {
	out := &Dict{}
	for i, k := range d.keys {
		if s, ok := k.(Str); ok && d.index == nil {
			out.Set(string(s), d.values[i])
		}
	}
	if d.index != nil {
		out.keys = append(out.keys, d.keys...)
		out.values = append(out.values, d.values...)
		out.index = make(map[key]int, len(d.index))
		for k, i := range d.index {
			out.index[k] = i
		}
	}
	return out
}
