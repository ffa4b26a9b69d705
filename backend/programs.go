package backend

import "sync"

// A Program is compiled code that a device can keep for later users.
type Program interface{ Finalize() }

// programs are the programs that a device keeps, by key.
type programs struct {
	mu   sync.Mutex
	kept map[string]Program // nil: the device keeps none
}

// KeepPrograms makes the device keep the programs of [Keep] until it is finalized, so that the next
// model of the same structure compiles nothing. Otherwise each model or training compiles its own
// programs and frees them at its end.
func (d *Device) KeepPrograms() {
	d.programs.mu.Lock()
	defer d.programs.mu.Unlock()
	if d.programs.kept == nil {
		d.programs.kept = map[string]Program{}
	}
}

// Keep returns the program of the key, and calls make if the device has none. The key names
// everything that the program depends on. If kept is false, the caller owns the program and must
// finalize it.
func Keep[P Program](d *Device, key string, make func() P) (p P, kept bool) {
	d.programs.mu.Lock()
	defer d.programs.mu.Unlock()
	if d.programs.kept == nil {
		return make(), false
	}
	if known, ok := d.programs.kept[key].(P); ok {
		return known, true
	}
	p = make()
	d.programs.kept[key] = p
	return p, true
}

// finalize frees all programs that are kept.
func (p *programs) finalize() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, program := range p.kept {
		program.Finalize()
	}
	p.kept = nil
}
