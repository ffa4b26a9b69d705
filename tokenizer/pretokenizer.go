package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A piece is a part of the normalized text. first means that it begins the whole text.
type piece struct {
	text  string
	first bool
}

// A splitter cuts a piece into pieces, in order.
type splitter interface {
	split(p piece, yield func(piece))
}

type splitFunc func(p piece, yield func(piece))

func (f splitFunc) split(p piece, yield func(piece)) { f(p, yield) }

type byteLevelConfig struct {
	Type           string `json:"type"`
	AddPrefixSpace *bool  `json:"add_prefix_space"`
	TrimOffsets    *bool  `json:"trim_offsets"` // changes only offsets
	UseRegex       *bool  `json:"use_regex"`    // true if absent, as in older files
}

// parseSplitter reads pre_tokenizer. bytesLast means that its last step is ByteLevel: the splitter
// then yields plain bytes, and the model must map each byte to its character in the alphabet.
func parseSplitter(raw json.RawMessage) (s splitter, bytesLast bool, err error) {
	steps, err := splitterSteps(raw, nil)
	if err != nil || len(steps) == 0 {
		return nil, false, err
	}
	for i, step := range steps {
		b, ok := step.(byteLevel)
		if !ok {
			continue
		}
		if i == len(steps)-1 {
			bytesLast = true
		} else {
			b.write = true
			steps[i] = b
		}
	}
	return sequence(steps), bytesLast, nil
}

func splitterSteps(raw json.RawMessage, steps []splitter) ([]splitter, error) {
	kind, err := componentType(raw)
	if err != nil || kind == "" {
		return steps, err
	}
	switch kind {
	case "Sequence":
		var c struct {
			Type          string            `json:"type"`
			Pretokenizers []json.RawMessage `json:"pretokenizers"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		for _, raw := range c.Pretokenizers {
			if steps, err = splitterSteps(raw, steps); err != nil {
				return nil, err
			}
		}
		return steps, nil
	case "ByteLevel":
		var c byteLevelConfig
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		if c.AddPrefixSpace == nil {
			return nil, fmt.Errorf("ByteLevel: add_prefix_space is missing")
		}
		return append(steps, byteLevel{prefixSpace: *c.AddPrefixSpace, regex: c.UseRegex == nil ||
			*c.UseRegex}), nil
	case "Metaspace":
		c, err := parseMetaspace(raw)
		if err != nil {
			return nil, err
		}
		return append(steps, splitFunc(c.split)), nil
	case "Digits":
		var c struct {
			Type       string `json:"type"`
			Individual *bool  `json:"individual_digits"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		if c.Individual == nil {
			return nil, fmt.Errorf("component Digits: individual_digits is missing")
		}
		by := contiguous
		if *c.Individual {
			by = isolated
		}
		return append(steps, cut{find: characters(isNumeric), behavior: by}), nil
	case "Split":
		var c struct {
			Type     string   `json:"type"`
			Pattern  rawMatch `json:"pattern"`
			Behavior behavior `json:"behavior"`
			Invert   bool     `json:"invert"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		find, err := c.Pattern.compile()
		if err != nil {
			return nil, fmt.Errorf("component Split: %w", err)
		}
		return append(steps, cut{find: find, behavior: c.Behavior, invert: c.Invert}), nil
	case "Punctuation":
		c := struct {
			Type     string   `json:"type"`
			Behavior behavior `json:"behavior"`
		}{Behavior: isolated}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		return append(steps, cut{find: characters(isPunctuation), behavior: c.Behavior}), nil
	case "CharDelimiterSplit":
		var c struct {
			Type      string `json:"type"`
			Delimiter string `json:"delimiter"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(c.Delimiter) != 1 {
			return nil, fmt.Errorf("CharDelimiterSplit: delimiter %q is not one character", c.Delimiter)
		}
		return append(steps, cut{find: literal(c.Delimiter), behavior: removed}), nil
	case "Whitespace":
		return append(steps, cut{find: words, behavior: removed, invert: true}), nil
	case "WhitespaceSplit":
		return append(steps, cut{find: characters(unicode.IsSpace), behavior: removed}), nil
	}
	return nil, unsupported(kind, "ByteLevel", "CharDelimiterSplit", "Digits", "Metaspace",
		"Punctuation", "Sequence", "Split", "Whitespace", "WhitespaceSplit")
}

// sequence runs its steps in order, each on every piece of the previous one.
type sequence []splitter

func (s sequence) split(p piece, yield func(piece)) {
	if len(s) == 1 {
		s[0].split(p, yield)
		return
	}
	s[0].split(p, func(p piece) {
		if p.text != "" {
			s[1:].split(p, yield)
		}
	})
}

// byteLevel is GPT-2's splitter. It writes the bytes in the alphabet only if another step follows.
type byteLevel struct{ prefixSpace, regex, write bool }

func (b byteLevel) split(p piece, yield func(piece)) {
	if b.prefixSpace && !strings.HasPrefix(p.text, " ") {
		p.text = " " + p.text
	}
	out := func(text string, first bool) {
		if b.write {
			text = toByteLevel(text)
		}
		yield(piece{text, first})
	}
	if !b.regex {
		out(p.text, p.first)
		return
	}
	for i := 0; i < len(p.text); {
		end := gpt2Match(p.text, i)
		out(p.text[i:end], p.first && i == 0)
		i = end
	}
}

// metaspace writes spaces as a visible character, as sentencepiece does.
type metaspace struct {
	mark    string
	prepend string // always, first, never
	cut     bool
}

func parseMetaspace(raw json.RawMessage) (metaspace, error) {
	c := struct {
		Type           string `json:"type"`
		Replacement    string `json:"replacement"`
		StrRep         string `json:"str_rep"` // older files: replacement again
		AddPrefixSpace *bool  `json:"add_prefix_space"`
		PrependScheme  string `json:"prepend_scheme"`
		Split          bool   `json:"split"`
	}{PrependScheme: "always", Split: true}
	if err := strict(raw, &c); err != nil {
		return metaspace{}, err
	}
	switch c.PrependScheme {
	case "always", "first", "never":
	default:
		return metaspace{}, fmt.Errorf(
			"component Metaspace: prepend_scheme %q is not always, first or never", c.PrependScheme)
	}
	if c.AddPrefixSpace != nil && !*c.AddPrefixSpace && c.PrependScheme != "never" {
		return metaspace{}, fmt.Errorf("component Metaspace: add_prefix_space false contradicts "+
			"prepend_scheme %q", c.PrependScheme)
	}
	if utf8.RuneCountInString(c.Replacement) != 1 {
		return metaspace{}, fmt.Errorf("component Metaspace: replacement %q is not one character",
			c.Replacement)
	}
	return metaspace{c.Replacement, c.PrependScheme, c.Split}, nil
}

func (m metaspace) split(p piece, yield func(piece)) {
	text := strings.ReplaceAll(p.text, " ", m.mark)
	if (m.prepend == "always" || m.prepend == "first" && p.first) && !strings.HasPrefix(text, m.mark) {
		text = m.mark + text
	}
	if !m.cut {
		yield(piece{text, p.first})
		return
	}
	cut{find: literal(m.mark), behavior: mergedWithNext}.split(piece{text, p.first}, yield)
}

func (m metaspace) decode(tokens []string) []string {
	for i, token := range tokens {
		space := " "
		if i == 0 && m.prepend != "never" {
			space = ""
		}
		tokens[i] = strings.ReplaceAll(token, m.mark, space)
	}
	return tokens
}
