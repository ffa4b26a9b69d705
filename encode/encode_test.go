package encode

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"testing"
	"unicode"

	"haf/pref"
	"haf/tokenizer"
)

// words is a tokenizer of words, punctuation and line ends, with "<s>" and "</s>" as special tokens.
type words struct {
	bos, eos       bool // has them
	addBOS, addEOS bool // its post-processor adds them
	name           string
}

const bosID, eosID = 1, 2

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
		n := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
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

func (w words) Hash() string { return "words" + w.name }

// turns is a template that writes before, and then every message with its role.
type turns struct {
	before string
	fail   string // a content that it refuses
	bare   bool   // contents only
}

func (t turns) Render(messages []tokenizer.Message, addGenerationPrompt bool) (string, error) {
	var b strings.Builder
	b.WriteString(t.before)
	for _, m := range messages {
		switch {
		case t.fail != "" && m.Content == t.fail:
			return "", errors.New("roles must alternate")
		case t.bare:
			b.WriteString(m.Content)
		default:
			fmt.Fprintf(&b, "%s %s\n", m.Role, m.Content)
		}
	}
	if addGenerationPrompt && !t.bare {
		b.WriteString("assistant ")
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

func TestSpecialTokens(t *testing.T) {
	body := ids("user hi\nassistant ")
	bos, eos := []int32{bosID}, []int32{eosID}
	for _, c := range []struct {
		name   string
		tok    words
		tpl    turns
		prompt []int32
	}{
		{"nobody adds BOS", words{bos: true, eos: true}, turns{}, body},
		{"tokenizer adds BOS", words{bos: true, eos: true, addBOS: true}, turns{}, join(bos, body)},
		{"template writes BOS", words{bos: true, eos: true}, turns{before: "<s>"}, join(bos, body)},
		{"both: not doubled", words{bos: true, eos: true, addBOS: true}, turns{before: "<s>"}, join(bos, body)},
		{"tokenizer adds EOS: stripped", words{bos: true, eos: true, addBOS: true, addEOS: true}, turns{}, join(bos, body)},
		{"tokenizer adds only EOS", words{eos: true, addEOS: true}, turns{}, body},
	} {
		e := newEncoder(t, c.tok, c.tpl, Options{})
		g, err := e.Samples(user("hi"), []string{"fine", "fine</s>", ""})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !slices.Equal(g.Prompt, c.prompt) {
			t.Errorf("%s: prompt %v, want %v", c.name, g.Prompt, c.prompt)
		}
		for k, want := range [][]int32{join(ids("fine"), eos), join(ids("fine"), eos), eos} {
			if !slices.Equal(g.Responses[k], want) {
				t.Errorf("%s: response %d is %v, want %v", c.name, k, g.Responses[k], want)
			}
		}
	}
}

func TestNewErrors(t *testing.T) {
	for _, c := range []struct {
		tok  Tokenizer
		tpl  Template
		opt  Options
		want string
	}{
		{words{bos: true}, turns{}, Options{}, "no eos_token"},
		{plain, nil, Options{}, "at least one is missing"},
		{plain, turns{}, Options{Truncation: "left"}, `truncation is "left", want "prompt", "drop" or "response"`},
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
	responses := []string{"k l m n", "o p"}
	tok := words{bos: true, eos: true, addBOS: true}
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
		e := newEncoder(t, tok, turns{bare: true}, Options{MaxLength: c.length, Truncation: c.policy})
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
			!slices.Equal(g.Responses[0], append(ids(c.k), eosID)) || !slices.Equal(g.Responses[1], append(ids(c.r), eosID)) {
			t.Errorf("%s: %+v", name, g)
		}
	}
}

func TestGroups(t *testing.T) {
	pair := func(prompt, chosen, rejected string, line int) pref.Group {
		return pref.NewPair(user(prompt), chosen, rejected, pref.Source{File: "x.jsonl", Line: line})
	}
	three := pref.Group{Prompt: user("q"), Responses: []string{"a b c d e f", "a b c d e g", "z"},
		Comparisons: []pref.Comparison{{Chosen: 0, Rejected: 1}, {Chosen: 1, Rejected: 2, Margin: 0.5}}}
	input := []pref.Group{
		pair("q", "yes", "no", 1),
		pair("q", "same", "same", 2),
		pair("q", "a b c d e f", "a b c d e g", 3),
		three,
		pair("a very long prompt of seven words", "yes", "no", 5),
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
	if got, want := groups[1].Comparisons, []pref.Comparison{{Chosen: 1, Rejected: 2, Margin: 0.5}}; !slices.Equal(got, want) || !groups[1].Truncated {
		t.Errorf("comparisons %v, want %v", got, want)
	}
	want := "6 groups read, 2 kept (1 of them truncated), 4 dropped (compared responses are identical: 1, compared responses became identical by truncation: 1, no comparison: 1, prompt leaves no room for a response: 1), 2 comparisons, 3 between identical responses removed (2 became identical by truncation)"
	if report.String() != want {
		t.Errorf("report\n%s, want\n%s", report, want)
	}
	if _, err := e.Group(input[2]); !errors.Is(err, ErrDropped) || !strings.HasPrefix(err.Error(), "encode: x.jsonl:3: group dropped: ") {
		t.Errorf("error of a dropped group: %v", err)
	}
	one, err := e.Group(input[3])
	if err != nil || !slices.Equal(one.Comparisons, groups[1].Comparisons) {
		t.Errorf("alone: %+v, %v", one, err)
	}

	_, report, err = e.Groups(input[1:3])
	if !errors.Is(err, ErrEmpty) || !strings.Contains(err.Error(), "became identical by truncation: 1") || report.Left() != 2 {
		t.Errorf("nothing left: %v, report %v", err, report)
	}
	if _, _, err = e.Groups(nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing given: %v", err)
	}
}

func TestBadGroups(t *testing.T) {
	good := pref.NewPair(user("q"), "yes", "no", pref.Source{File: "x", Line: 1})
	for _, c := range []struct {
		name string
		bad  pref.Group
		want string
	}{
		{"template", pref.NewPair(user("refused"), "yes", "no", pref.Source{File: "x", Line: 7}), "encode: x:7: chat template: roles must alternate"},
		{"no prompt", pref.NewPair(nil, "yes", "no", pref.Source{File: "x", Line: 7}), "encode: x:7: the prompt has no token"},
		{"index", pref.Group{Prompt: user("q"), Responses: []string{"a", "b"}, Comparisons: []pref.Comparison{{Chosen: 2}}}, "encode: comparison 1 of the group: responses 2 and 0 are compared, want indices from 0 to 1"},
		{"negative", pref.Group{Prompt: user("q"), Responses: []string{"a", "b"}, Comparisons: []pref.Comparison{{Chosen: 0, Rejected: -1}}}, "want indices from 0 to 1"},
		{"itself", pref.Group{Prompt: user("q"), Responses: []string{"a", "b"}, Comparisons: []pref.Comparison{{Chosen: 1, Rejected: 1}}}, "response 1 is compared with itself"},
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
