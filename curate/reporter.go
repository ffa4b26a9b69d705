package curate

import (
	"haf/pref"
	"haf/rewarder"
)

// A Reporter tells the user about the progress of a flow. Its functions may be nil.
type Reporter struct {
	Notef    func(format string, args ...any)   // messages for the user
	Progress func(pass string, done, total int) // progress of a pass
}

func (r Reporter) notef(format string, args ...any) {
	if r.Notef != nil {
		r.Notef(format, args...)
	}
}

// pass returns the progress function of one pass.
func (r Reporter) pass(name string) func(done, total int) {
	if r.Progress == nil {
		return func(int, int) {}
	}
	return func(done, total int) { r.Progress(name, done, total) }
}

// keepAccepted drops the items whose prompts one of by refuses, and reports their number.
func keepAccepted[T any](
	r Reporter, items []T, what string, prompt func(T) []pref.Message, by ...any,
) ([]T, error) {
	kept, note, err := rewarder.KeepAccepted(items, what, prompt, by...)
	if note != "" {
		r.notef("%s", note)
	}
	return kept, err
}
