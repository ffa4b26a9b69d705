package curate

import (
	"haf/pref"
	"haf/rewarder"
)

// A Reporter tells the user what a flow does. Functions that are nil tell nothing.
type Reporter struct {
	Notef    func(format string, args ...any)   // what the user should know
	Progress func(pass string, done, total int) // how much of a pass is done
}

func (r Reporter) notef(format string, args ...any) {
	if r.Notef != nil {
		r.Notef(format, args...)
	}
}

// pass is the progress of one pass.
func (r Reporter) pass(name string) func(done, total int) {
	if r.Progress == nil {
		return func(int, int) {}
	}
	return func(done, total int) { r.Progress(name, done, total) }
}

// keepAccepted drops the items whose prompts one of by refuses, and says so.
func keepAccepted[T any](
	r Reporter, items []T, what string, prompt func(T) []pref.Message, by ...any,
) ([]T, error) {
	kept, note, err := rewarder.KeepAccepted(items, what, prompt, by...)
	if note != "" {
		r.notef("%s", note)
	}
	return kept, err
}
