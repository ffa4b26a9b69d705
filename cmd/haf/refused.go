package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"haf/pref"
)

// A refuser knows which prompts it cannot read: those that a chat template refuses.
type refuser interface {
	Refuses(prompt []pref.Message) error
}

// keepTaken returns the items whose prompts nobody refuses, and says how many were dropped and why. Who is no refuser takes all, as
// a server does, which alone knows its template. It is an error if nothing is left.
func keepTaken[T any](a *app, items []T, what string, prompt func(T) []pref.Message, by ...any) ([]T, error) {
	var kept []T
	why := map[string]int{}
	for _, item := range items {
		var refused error
		for _, who := range by {
			if r, ok := who.(refuser); ok && refused == nil {
				refused = r.Refuses(prompt(item))
			}
		}
		if refused == nil {
			kept = append(kept, item)
			continue
		}
		why[lastPart(refused)]++
	}
	if dropped := len(items) - len(kept); dropped > 0 {
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(why)) {
			reasons = append(reasons, fmt.Sprintf("%s: %d", reason, why[reason]))
		}
		said := fmt.Sprintf("%d of %d %s dropped, which the chat template refuses (%s)", dropped, len(items), what, strings.Join(reasons, ", "))
		if len(kept) == 0 {
			return nil, fmt.Errorf("%s: nothing is left: name a template that takes them with -template", said)
		}
		fmt.Fprintln(a.stderr, "haf: "+said)
	}
	return kept, nil
}

// atLine is the place in the template that an error names first.
var atLine = regexp.MustCompile(`^line \d+: `)

// lastPart is what a template says where it refuses a conversation.
func lastPart(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, "chat template: "); at >= 0 {
		text = text[at+len("chat template: "):]
	}
	return strings.Join(strings.Fields(atLine.ReplaceAllString(text, "")), " ")
}
