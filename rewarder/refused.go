package rewarder

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"haf/pref"
)

// KeepAccepted returns the items whose prompts none of by refuses, and a line with the number of
// dropped items and the reason, "" if none was. Members of by that are no [pref.Refuser] accept
// every prompt. It is an error if nothing is left. what names the items.
func KeepAccepted[T any](
	items []T, what string, prompt func(T) []pref.Message, by ...any,
) (kept []T, note string, err error) {
	reasons := map[string]int{}
	for _, item := range items {
		var refused error
		for _, one := range by {
			if refused = refusedBy(one, prompt(item)); refused != nil {
				break
			}
		}
		if refused == nil {
			kept = append(kept, item)
			continue
		}
		reasons[Reason(refused)]++
	}
	dropped := len(items) - len(kept)
	if dropped == 0 {
		return kept, "", nil
	}
	var counted []string
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		counted = append(counted, fmt.Sprintf("%s: %d", reason, reasons[reason]))
	}
	note = fmt.Sprintf("%d of %d %s dropped, which the chat template refuses (%s)", dropped,
		len(items), what, strings.Join(counted, ", "))
	if len(kept) == 0 {
		return nil, "",
			fmt.Errorf("%s: nothing is left: name a template that takes them with -template", note)
	}
	return kept, note, nil
}

func refusedBy(one any, prompt []pref.Message) error {
	if r, ok := one.(pref.Refuser); ok {
		return r.Refuses(prompt)
	}
	return nil
}

// atLine is the place in the template that an error names first.
var atLine = regexp.MustCompile(`^line \d+: `)

// Reason returns the chat template's message from the error with which it refuses a conversation,
// on one line.
func Reason(err error) string {
	text := err.Error()
	if at := strings.LastIndex(text, "chat template: "); at >= 0 {
		text = text[at+len("chat template: "):]
	}
	return strings.Join(strings.Fields(atLine.ReplaceAllString(text, "")), " ")
}
