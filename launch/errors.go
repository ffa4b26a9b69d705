package launch

import "errors"

var (
	// ErrUsage is wrapped by errors for settings that conflict.
	ErrUsage = errors.New("wrong usage")
	// ErrGate is wrapped by the error for an evaluation below its gate, or a run that does not fit
	// into memory.
	ErrGate = errors.New("gate not met")
)
