package lm

// SetHostWrites says whether the cache is written on the host, as where its memory is the device's,
// or by a program.
func (g *Generator) SetHostWrites(on bool) {
	g.shared = on
	if g.cache != nil {
		g.cache.free()
		g.cache = nil
	}
}
