package encode

import (
	"errors"
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"haf/chat"
	"haf/pref"
)

// words is a tokenizer of words, punctuation and line ends, with "<s>" and "</s>" as special
// tokens.
type words struct {
	bos, eos       bool // has them
	addBOS, addEOS bool // its post-processor adds them
	name           string
}

const bosID, eosID = 1, 2

func (w words) TryEncode(text string, special bool) ([]int32, error) {
	return w.Encode(text, special), nil
}

func (w words) Encode(text string, special bool) []int32 {
	var ids []int32
	if special && w.addBOS {
		ids = append(ids, bosID)
	}
	for len(text) > 0 {
		if w.bos && strings.HasPrefix(text, "<s>") {
			ids, text = append(ids, bosID), text[3:]
			continue
		}
		if w.eos && strings.HasPrefix(text, "</s>") {
			ids, text = append(ids, eosID), text[4:]
			continue
		}
		n := strings.IndexFunc(text, func(r rune) bool {
			return !unicode.IsLetter(r) &&
				!unicode.IsDigit(r)
		})
		switch n {
		case 0:
			n = 1
		case -1:
			n = len(text)
		}
		if piece := text[:min(n, 8)]; piece != " " {
			h := fnv.New32()
			h.Write([]byte(piece))
			ids = append(ids, 10+int32(h.Sum32()%40000))
			text = text[len(piece):]
		} else {
			text = text[1:]
		}
	}
	if special && w.addEOS {
		ids = append(ids, eosID)
	}
	return ids
}

func (w words) Special(name string) (string, int32, bool) {
	switch {
	case name == "bos_token" && w.bos:
		return "<s>", bosID, true
	case name == "eos_token" && w.eos:
		return "</s>", eosID, true
	}
	return "", 0, false
}

func (w words) SpecialIn(text string) []string {
	var found []string
	for len(text) > 0 {
		switch {
		case w.bos && strings.HasPrefix(text, "<s>"):
			found = append(found, "<s>")
		case w.eos && strings.HasPrefix(text, "</s>"):
			found = append(found, "</s>")
		}
		text = text[1:]
	}
	return found
}

func (w words) Hash() string { return "words" + w.name }

// turns is a template that writes before, and then every message with its role.
type turns struct {
	before string
	fail   string // a content that it refuses
	bare   bool   // contents only, and the end token behind an answer
	glue   bool   // the answer follows its role without a space, so that both are one token
}

func (t turns) Render(messages []chat.Message, addGenerationPrompt bool) (string, error) {
	var b strings.Builder
	b.WriteString(t.before)
	for _, m := range messages {
		switch {
		case t.fail != "" && m.Content == t.fail:
			return "", errors.New("roles must alternate")
		case t.bare:
			b.WriteString(m.Content)
			if m.Role == pref.Assistant {
				b.WriteString("</s>")
			}
		case t.glue && m.Role == pref.Assistant:
			fmt.Fprintf(&b, "bot%s\n", m.Content)
		default:
			fmt.Fprintf(&b, "%s %s\n", m.Role, m.Content)
		}
	}
	if addGenerationPrompt && !t.bare {
		if t.glue {
			b.WriteString("bot")
		} else {
			b.WriteString("assistant ")
		}
	}
	return b.String(), nil
}

func (t turns) Hash() string { return "turns" + t.before }

var plain = words{bos: true, eos: true}

func user(text string) []pref.Message { return []pref.Message{{Role: pref.User, Content: text}} }

func newEncoder(t testing.TB, tok words, tpl turns, opt Options) *Encoder {
	t.Helper()
	e, err := New(tok, tpl, opt)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// join concatenates the tokens that a text of several parts must have.
func join(parts ...[]int32) []int32 { return slices.Concat(parts...) }

func ids(text string) []int32 { return plain.Encode(text, false) }

// TestConversation: a conversation is rendered and tokenized whole, nothing is added, and the
// response begins behind the generation prompt.
func TestConversation(t *testing.T) {
	bos := []int32{bosID}
	body := func(answer string) []int32 { return ids("user hi\nassistant " + answer + "\n") }
	prompt := len(ids("user hi\nassistant "))
	for _, c := range []struct {
		name   string
		tok    words
		tpl    turns
		opt    Options
		answer string
		want   []int32
		prompt int
		read   int // from the end
	}{
		{"as the template writes it", plain, turns{}, Options{}, "fine", body("fine"), prompt, 1},
		{"a tokenizer's BOS and EOS are not added", words{bos: true, eos: true, addBOS: true,
			addEOS: true}, turns{}, Options{}, "fine", body("fine"), prompt, 1},
		{"the template's BOS", words{bos: true, eos: true, addBOS: true}, turns{before: "<s>"}, Options{},
			"fine", join(bos, body("fine")), prompt + 1, 1},
		{"BOS once", plain, turns{}, Options{BOS: BOSOnce}, "fine", join(bos, body("fine")), prompt + 1,
			1},
		{"BOS once, written", plain, turns{before: "<s>"}, Options{BOS: BOSOnce}, "fine",
			join(bos, body("fine")), prompt + 1, 1},
		{"BOS twice", plain, turns{before: "<s>"}, Options{BOS: BOSTwice}, "fine",
			join(bos, bos, body("fine")), prompt + 2, 1},
		{"no BOS", plain, turns{before: "<s>"}, Options{BOS: BOSNone}, "fine", body("fine"), prompt, 1},
		{"a special token of the response", plain, turns{}, Options{}, "fine</s>", body("fine</s>"),
			prompt, 1},
		{"an empty response", plain, turns{}, Options{}, "", body(""), prompt, 1},
		{"the last token is padding", plain, turns{}, Options{Pad: &ids("\n")[0]}, "fine", body("fine"),
			prompt, 2},
		{"read at the end token", plain, turns{}, Options{Read: ReadEnd}, "a</s>b", body("a</s>b"),
			prompt, 3},
		{"a token straddles", plain, turns{glue: true}, Options{}, "fine", ids("user hi\nbotfine\n"),
			len(ids("user hi\n")), 1},
	} {
		e := newEncoder(t, c.tok, c.tpl, c.opt)
		got, _, err := e.Conversation(user("hi"), c.answer)
		want := Conversation{Tokens: c.want, Response: c.prompt, Read: len(c.want) - c.read}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, want)
		}
		g, err := e.Samples(user("hi"), []string{c.answer, c.answer + "</s>"})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		r := g.Responses[0]
		if whole := join(g.Prompt, r.Tokens); !slices.Equal(whole, c.want) ||
			len(g.Prompt)+r.Policy != c.prompt || len(g.Prompt)+r.Read != want.Read {
			t.Errorf("%s: in a group %+v, want %+v", c.name, g, want)
		}
	}
	if _, _, err := newEncoder(t, plain, turns{}, Options{Read: ReadEnd}).Conversation(user("hi"),
		"fine"); !errors.Is(err, errNoEnd) {
		t.Errorf("no end token to read at: %v", err)
	}
}

// TestSpecialTokensInText: those that the text of messages holds are read as such, and counted.
func TestSpecialTokensInText(t *testing.T) {
	e := newEncoder(t, plain, turns{}, Options{})
	groups := []pref.Group{
		pref.NewPair(user("hi"), "fine</s>and</s>", "no", pref.Location{}),
		pref.NewPair(user("<s>hi"), "fine", "no</s>", pref.Location{}),
		pref.NewPair(user("hi"), "fine", "no", pref.Location{}),
	}
	encoded, report, err := e.Groups(groups)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"<s>": 1, "</s>": 2}; report.WithSpecial != 2 ||
		!reflect.DeepEqual(report.Special, want) {
		t.Errorf("%d groups with %v, want 2 with %v", report.WithSpecial, report.Special, want)
	}
	if !strings.HasSuffix(report.String(),
		", special tokens in the text of 2 groups (</s>: 2, <s>: 1)") {
		t.Errorf("report %q", report)
	}
	if !slices.Contains(encoded[0].Responses[0].Tokens, eosID) {
		t.Errorf("%v does not hold the end token that its text names", encoded[0].Responses[0].Tokens)
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		tok  Tokenizer
		tpl  Template
		opt  Options
		want string
	}{
		{words{eos: true}, turns{}, Options{BOS: BOSOnce}, "no bos_token"},
		{words{bos: true}, turns{}, Options{Read: ReadEnd}, "no eos_token"},
		{plain, turns{}, Options{Read: "first"}, `read is "first", want one of ["last" "end"]`},
		{plain, turns{}, Options{BOS: "thrice"},
			`bos is "thrice", want one of ["template" "once" "twice" "none"]`},
		{plain, nil, Options{}, "at least one is missing"},
		{plain, turns{}, Options{Truncation: "left"},
			`truncation is "left", want one of ["prompt" "drop" "response"]`},
		{plain, turns{}, Options{MaxLength: -5}, "max length is -5"},
		{plain, turns{}, Options{MaxLength: 1}, "max length is 1"},
	} {
		if _, err := New(c.tok, c.tpl, c.opt); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q in it", err, c.want)
		}
	}
}

func TestHash(t *testing.T) {
	seen := map[string]string{}
	for name, e := range map[string]*Encoder{
		"plain":     newEncoder(t, plain, turns{}, Options{}),
		"tokenizer": newEncoder(t, words{bos: true, eos: true, name: "2"}, turns{}, Options{}),
		"template":  newEncoder(t, plain, turns{before: "<s>"}, Options{}),
		"length":    newEncoder(t, plain, turns{}, Options{MaxLength: 10}),
		"policy":    newEncoder(t, plain, turns{}, Options{Truncation: TruncateDrop}),
		"read":      newEncoder(t, plain, turns{}, Options{Read: ReadEnd}),
		"bos":       newEncoder(t, plain, turns{}, Options{BOS: BOSOnce}),
		"pad":       newEncoder(t, plain, turns{}, Options{Pad: new(int32)}),
	} {
		if other, ok := seen[e.Hash()]; ok {
			t.Errorf("%s and %s have one hash", name, other)
		}
		seen[e.Hash()] = name
	}
	named := newEncoder(t, plain, turns{}, Options{Truncation: TruncatePrompt})
	if seen[named.Hash()] != "plain" {
		t.Error("the default policy, named, changes the hash")
	}
}

func TestTruncation(t *testing.T) {
	// The prompt has BOS and 10 tokens, the responses 4 and 2 and their end tokens.
	const prompt = "a b c d e f g h i j"
	responses := []string{" k l m n", " o p"}
	tok := words{bos: true, eos: true}
	for _, c := range []struct {
		policy string
		length int
		prompt string
		k, r   string // contents of the responses, without the end token
		cut    bool
		reason string
	}{
		{TruncatePrompt, 0, "<s>" + prompt, "k l m n", "o p", false, ""},
		{TruncatePrompt, 16, "<s>" + prompt, "k l m n", "o p", false, ""},
		{TruncatePrompt, 15, "<s> b c d e f g h i j", "k l m n", "o p", true, ""},
		{TruncatePrompt, 7, "<s> j", "k l m n", "o p", true, ""},
		{TruncatePrompt, 6, "j", "k l m n", "o p", true, ""},
		{TruncatePrompt, 5, "", "", "", false, noPromptRoom},
		{TruncateDrop, 15, "", "", "", false, tooLong},
		{TruncateDrop, 16, "<s>" + prompt, "k l m n", "o p", false, ""},
		{TruncateResponse, 15, "<s>" + prompt, "k l m", "o p", true, ""},
		{TruncateResponse, 13, "<s>" + prompt, "k", "o", true, ""},
		{TruncateResponse, 12, "", "", "", false, noAnswerRoom},
	} {
		name := fmt.Sprintf("%s %d", c.policy, c.length)
		e := newEncoder(t, tok, turns{bare: true, before: "<s>"},
			Options{MaxLength: c.length, Truncation: c.policy})
		g, err := e.Samples(user(prompt), responses)
		if c.reason != "" {
			if !errors.Is(err, ErrDropped) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("%s: error %v, want %q", name, err, c.reason)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if g.Truncated != c.cut || !slices.Equal(g.Prompt, ids(c.prompt)) ||
			!reflect.DeepEqual(g.Responses[0], Answer(append(ids(c.k), eosID))) ||
			!reflect.DeepEqual(g.Responses[1], Answer(append(ids(c.r), eosID))) {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

func TestGroups(t *testing.T) {
	pair := func(prompt, chosen, rejected string, line int) pref.Group {
		return pref.NewPair(user(prompt), chosen, rejected, pref.Location{File: "x.jsonl", Line: line})
	}
	three := pref.Group{Prompt: user("q"), Responses: []string{" a b c d e f", " a b c d e g", " z"},
		Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 1, Rejected: 2, Margin: 0.5}}}
	input := []pref.Group{
		pair("q", " yes", " no", 1),
		pair("q", " same", " same", 2),
		pair("q", " a b c d e f", " a b c d e g", 3),
		three,
		pair("a very long prompt of seven words", " yes", " no", 5),
		{Prompt: user("q"), Responses: []string{"yes"}},
	}
	e := newEncoder(t, plain, turns{bare: true}, Options{MaxLength: 6, Truncation: TruncateResponse})
	groups, report, err := e.Groups(input)
	if err != nil {
		t.Fatal(err)
	}
	if len(groups) != 2 || groups[0].Index != 0 || groups[1].Index != 3 || groups[0].Source.Line != 1 {
		t.Errorf("kept %+v", groups)
	}
	if got, want := groups[1].Comparisons, []pref.Comparison{{Chosen: 1, Rejected: 2,
		Margin: 0.5}}; !slices.Equal(got, want) || !groups[1].Truncated {
		t.Errorf("comparisons %v, want %v", got, want)
	}
	want := "6 groups read, 2 kept (1 of them truncated), 4 dropped (compared responses are " +
		"identical: 1, compared responses became identical by truncation: 1, no comparison: 1, prompt " +
		"leaves no room for a response: 1), 2 comparisons, 3 between identical responses removed (2 " +
		"became identical by truncation)"
	if report.String() != want {
		t.Errorf("report\n%s, want\n%s", report, want)
	}
	if _, err := e.Group(input[2]); !errors.Is(err, ErrDropped) ||
		!strings.HasPrefix(err.Error(), "encode: x.jsonl:3: group dropped: ") {
		t.Errorf("error of a dropped group: %v", err)
	}
	one, err := e.Group(input[3])
	if err != nil || !slices.Equal(one.Comparisons, groups[1].Comparisons) {
		t.Errorf("alone: %+v, %v", one, err)
	}

	_, report, err = e.Groups(input[1:3])
	if !errors.Is(err, ErrEmpty) ||
		!strings.Contains(err.Error(), "became identical by truncation: 1") || report.Left() != 2 {
		t.Errorf("nothing left: %v, report %v", err, report)
	}
	if _, _, err = e.Groups(nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing given: %v", err)
	}
}

// TestRefused: a conversation that the template refuses is dropped and counted, with what the
// template says.
func TestRefused(t *testing.T) {
	good := pref.NewPair(user("q"), "yes", "no", pref.Location{File: "x", Line: 1})
	bad := pref.NewPair(user("refused"), "yes", "no", pref.Location{File: "x", Line: 7})
	e := newEncoder(t, plain, turns{fail: "refused"}, Options{})
	groups, report, err := e.Groups([]pref.Group{bad, good, bad})
	if err != nil || len(groups) != 1 || groups[0].Index != 1 ||
		report.Dropped["chat template: roles must alternate"] != 2 {
		t.Errorf("%d groups, %v, %v", len(groups), report, err)
	}
	_, _, err = e.Groups([]pref.Group{bad})
	if want := "encode: no group is left of 1: chat template: roles must alternate: 1; choose a " +
		"chat template that takes such conversations"; err == nil ||
		!strings.HasPrefix(err.Error(), want) {
		t.Errorf("error %v, want %q", err, want)
	}
	if _, err := e.Samples(user("refused"), []string{"yes"}); !errors.Is(err, ErrRefused) {
		t.Errorf("of samples: %v, want ErrRefused", err)
	}
}

func TestBadGroups(t *testing.T) {
	good := pref.NewPair(user("q"), "yes", "no", pref.Location{File: "x", Line: 1})
	for _, c := range []struct {
		name string
		bad  pref.Group
		want string
	}{
		{"no prompt", pref.NewPair(nil, "yes", "no", pref.Location{File: "x", Line: 7}),
			"encode: x:7: the prompt has no token"},
		{"index", pref.Group{Prompt: user("q"), Responses: []string{"a", "b"},
			Comparisons: []pref.Comparison{{Chosen: 2}}},
			"encode: comparison 1 of the group: responses 2 and 0 are compared, want indices from 0 to 1"},
		{"negative", pref.Group{Prompt: user("q"), Responses: []string{"a", "b"},
			Comparisons: []pref.Comparison{{Chosen: 0, Rejected: -1}}}, "want indices from 0 to 1"},
		{"itself", pref.Group{Prompt: user("q"), Responses: []string{"a", "b"},
			Comparisons: []pref.Comparison{{Chosen: 1, Rejected: 1}}}, "response 1 is compared with itself"},
		{"no response", pref.Group{Prompt: user("q")}, "no response"},
	} {
		e := newEncoder(t, plain, turns{bare: true, fail: "refused"}, Options{})
		_, _, err := e.Groups([]pref.Group{good, c.bad, good})
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrDropped) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
		if _, one := e.Group(c.bad); one == nil || one.Error() != err.Error() {
			t.Errorf("%s: alone %v, in a set %v", c.name, one, err)
		}
	}
}
