package pref

import (
	"fmt"
	"strings"
	"unicode"
)

const (
	humanTurn     = "\n\nHuman:"
	assistantTurn = "\n\nAssistant:"
)

// parseTranscript reads a transcript "\n\nHuman: …\n\nAssistant: …" as messages, each content
// without the space around it. A marker counts wherever it stands, as in the published readers of
// these transcripts; at the very beginning its empty line may be missing. Text before the first
// turn is an error.
func parseTranscript(text string) ([]Message, error) {
	head := strings.TrimLeftFunc(text, unicode.IsSpace)
	if strings.HasPrefix(head, humanTurn[2:]) || strings.HasPrefix(head, assistantTurn[2:]) {
		text = "\n\n" + head
	}
	at, role, width := nextTurn(text)
	if at < 0 || strings.TrimSpace(text[:at]) != "" {
		return nil, fmt.Errorf(
			`%s, want a transcript that begins with "\n\nHuman:" or "\n\nAssistant:"`, quote(text))
	}
	var messages []Message
	for at >= 0 {
		text = text[at+width:]
		next, nextRole, nextWidth := nextTurn(text)
		content := text
		if next >= 0 {
			content = text[:next]
		}
		messages = append(messages, Message{Role: role, Content: strings.TrimSpace(content)})
		at, role, width = next, nextRole, nextWidth
	}
	return messages, nil
}

// isTranscript reports whether a prompt is a transcript of HH-RLHF: it begins with a turn of a
// human, and either stands apart from what was before it or holds a turn of the assistant.
func isTranscript(text string) bool {
	head := strings.TrimLeftFunc(text, unicode.IsSpace)
	return strings.HasPrefix(head, humanTurn[2:]) &&
		(strings.HasPrefix(text, humanTurn) || strings.Contains(text, assistantTurn))
}

// transcriptPrompt reads a prompt that is a transcript. Most end in "\n\nAssistant:", behind which
// the response stands.
func transcriptPrompt(text, field string) ([]Message, error) {
	messages, err := parseTranscript(text)
	if err != nil {
		return nil, wrong(field, "%v", err)
	}
	last := messages[len(messages)-1]
	switch {
	case last.Role == User:
		return messages, nil
	case last.Content != "":
		return nil,
			wrong(field, "a transcript that ends in words of the assistant, want one that ends "+
				`in the human's or in "\n\nAssistant:"`)
	}
	return messages[:len(messages)-1], nil
}

// nextTurn finds the first marker of text: where it begins, whose turn it opens and its width; at
// is −1 where there is none. It looks at each empty line once, so that a transcript of very many
// turns stays linear.
func nextTurn(text string) (at int, role string, width int) {
	for at = 0; ; at++ {
		i := strings.Index(text[at:], "\n\n")
		if i < 0 {
			return -1, "", 0
		}
		at += i
		switch {
		case strings.HasPrefix(text[at:], humanTurn):
			return at, User, len(humanTurn)
		case strings.HasPrefix(text[at:], assistantTurn):
			return at, Assistant, len(assistantTurn)
		}
	}
}

// quote shows the beginning of a text in an error message.
func quote(s string) string {
	const most = 40
	if runes := []rune(s[:min(len(s), 4*most+4)]); len(runes) > most {
		return fmt.Sprintf("%q…", string(runes[:most]))
	}
	return fmt.Sprintf("%q", s)
}
