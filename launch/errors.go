package launch

import "errors"

var (
	// ErrUsage is wrapped by errors of settings that do not go together.
	ErrUsage = errors.New("wrong usage")
	// ErrGate is wrapped where an evaluation is below its gate, or a run does not fit into memory.
	ErrGate = errors.New("gate not met")
)
