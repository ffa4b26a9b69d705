package pref

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseTranscript(t *testing.T) {
	u := func(s string) Message { return Message{Role: User, Content: s} }
	a := func(s string) Message { return Message{Role: Assistant, Content: s} }
	for text, want := range map[string][]Message{
		"\n\nHuman: hi\n\nAssistant: hello":              {u("hi"), a("hello")},
		"\n\nHuman: a\n\nb\n\nAssistant:  c \n":          {u("a\n\nb"), a("c")},
		"\n\nHuman: a\n\nHuman: b\n\nAssistant: c":       {u("a"), u("b"), a("c")},
		"\n\nHuman: a\n\nAssistant:":                     {u("a"), a("")},
		"\n\nAssistant: a":                               {a("a")},
		"Human: a\n\nAssistant: b":                       {u("a"), a("b")},
		" \n\n\n\nHuman: a\n\n\n\nAssistant: b":          {u("a"), a("b")},
		"\n\nHuman: say Assistant:\nHuman: \n\nhuman: x": {u("say Assistant:\nHuman: \n\nhuman: x")},
	} {
		if got, err := parseTranscript(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "hello", "System: x\n\nHuman: a\n\nAssistant: b",
		"\n\nUser: a"} {
		if got, err := parseTranscript(text); err == nil ||
			!strings.Contains(err.Error(), "want a transcript that begins with") {
			t.Errorf("%q: %v, %v, want an error", text, got, err)
		}
	}
}

// Very many turns, or empty lines, must not take quadratic time.
func TestParseTranscriptIsLinear(t *testing.T) {
	start := time.Now()
	for _, text := range []string{
		strings.Repeat(assistantTurn+" a", 300_000), strings.Repeat(humanTurn, 300_000) + assistantTurn,
		humanTurn + strings.Repeat("\n", 4<<20) + "x",
	} {
		if _, err := parseTranscript(text); err != nil {
			t.Error(err)
		}
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func formatTranscript(messages []Message) string {
	var b strings.Builder
	for _, m := range messages {
		marker := humanTurn
		if m.Role == Assistant {
			marker = assistantTurn
		}
		b.WriteString(marker + " " + m.Content)
	}
	return b.String()
}

func FuzzTranscript(f *testing.F) {
	for _, s := range []string{"\n\nHuman: hi\n\nAssistant: hello",
		"Human:\n\nHuman:\n\n\n\nAssistant: \x80", "x\n\nHuman:", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		messages, err := parseTranscript(text)
		if err != nil {
			return
		}
		if len(messages) == 0 {
			t.Fatal("no message and no error")
		}
		again, err := parseTranscript(formatTranscript(messages))
		if err != nil || !slices.Equal(again, messages) {
			t.Fatalf("%q parsed to %q, written and parsed again to %q, %v", text, messages, again, err)
		}
	})
}
