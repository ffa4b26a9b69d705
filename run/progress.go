package run

// A Progress is told what a run does. Implementations print; the loop decides nothing by them.
type Progress interface {
	Logf(format string, args ...any)
	// StartPhase begins a phase of total steps, EndPhase ends it.
	StartPhase(name string, total int)
	// Update reports how many steps of the phase are done; detail may be empty.
	Update(done int, detail string)
	EndPhase()
}
