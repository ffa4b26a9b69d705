package run

// A Progress displays the progress of a run. It never influences the run.
type Progress interface {
	Logf(format string, args ...any)
	// StartPhase begins a phase of total steps, EndPhase ends it.
	StartPhase(name string, total int)
	// Update reports how many steps of the phase are done; detail may be empty.
	Update(done int, detail string)
	EndPhase()
}

// Passes returns a function that shows passes over data as phases of p, one after another. A pass
// begins when its name first occurs and ends when all of it is done.
func Passes(p Progress) func(pass string, done, total int) {
	running := ""
	return func(pass string, done, total int) {
		if pass != running {
			p.EndPhase() // the previous pass ended with an error
			p.StartPhase(pass, total)
			running = pass
		}
		p.Update(done, "")
		if done == total {
			p.EndPhase()
			running = ""
		}
	}
}
