package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// A normalizer rewrites the text between added tokens, each part separately.
type normalizer func(string) string

func parseNormalizer(raw json.RawMessage) (normalizer, error) {
	kind, err := componentType(raw)
	if err != nil || kind == "" {
		return nil, err
	}
	switch kind {
	case "NFC":
		return normalForm(norm.NFC), nil
	case "NFD":
		return normalForm(norm.NFD), nil
	case "NFKC":
		return normalForm(norm.NFKC), nil
	case "NFKD":
		return normalForm(norm.NFKD), nil
	case "Lowercase":
		return lowercase, nil
	case "ByteLevel":
		return toByteLevel, nil
	case "Strip":
		var c struct {
			Type  string `json:"type"`
			Left  bool   `json:"strip_left"`
			Right bool   `json:"strip_right"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		return func(s string) string {
			if c.Left {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if c.Right {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}, nil
	case "Prepend":
		var c struct {
			Type    string `json:"type"`
			Prepend string `json:"prepend"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		return func(s string) string {
			if s == "" {
				return s
			}
			return c.Prepend + s
		}, nil
	case "Replace":
		return parseReplace(raw)
	case "Sequence":
		var c struct {
			Type        string            `json:"type"`
			Normalizers []json.RawMessage `json:"normalizers"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		var steps []normalizer
		for _, raw := range c.Normalizers {
			step, err := parseNormalizer(raw)
			if err != nil {
				return nil, err
			}
			if step != nil {
				steps = append(steps, step)
			}
		}
		return func(s string) string {
			for _, step := range steps {
				s = step(s)
			}
			return s
		}, nil
	}
	return nil, unsupported(kind, "ByteLevel", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Prepend",
		"Replace", "Sequence", "Strip")
}

// parseReplace reads the Replace of normalizers and decoders.
func parseReplace(raw json.RawMessage) (func(string) string, error) {
	var c struct {
		Type    string   `json:"type"`
		Pattern rawMatch `json:"pattern"`
		Content string   `json:"content"`
	}
	if err := strict(raw, &c); err != nil {
		return nil, err
	}
	if literal := c.Pattern.String; literal != nil {
		if *literal == "" {
			return nil, fmt.Errorf("component Replace: the empty pattern is not supported")
		}
		return func(s string) string { return strings.ReplaceAll(s, *literal, c.Content) }, nil
	}
	find, err := c.Pattern.compile()
	if err != nil {
		return nil, fmt.Errorf("component Replace: %w", err)
	}
	return func(s string) string {
		var out strings.Builder
		done := 0
		find(s, func(start, end int) {
			out.WriteString(s[done:start])
			out.WriteString(c.Content)
			done = end
		})
		if done == 0 && out.Len() == 0 {
			return s
		}
		out.WriteString(s[done:])
		return out.String()
	}, nil
}

// normalForm is the Unicode normal form of the tokenizers library. Its tables are older than Go's,
// so this skips the characters that they lack. These are starters, so the text on both sides is
// independent.
func normalForm(form norm.Form) normalizer {
	return func(s string) string {
		ascii := true
		for i := 0; i < len(s) && ascii; i++ {
			ascii = s[i] < utf8.RuneSelf
		}
		if ascii {
			return s
		}
		var out strings.Builder
		done := 0
		for i, r := range s {
			if r >= 0x32FF && in(unknownToNormalForms, r) {
				out.WriteString(form.String(s[done:i]))
				out.WriteRune(r)
				done = i + utf8.RuneLen(r)
			}
		}
		if done == 0 {
			return form.String(s)
		}
		out.WriteString(form.String(s[done:]))
		return out.String()
	}
}

// lowercase maps each character separately, without rules that depend on context.
func lowercase(s string) string {
	var out strings.Builder
	out.Grow(len(s))
	for i, r := range s {
		if r == utf8.RuneError {
			_, n := utf8.DecodeRuneInString(s[i:])
			out.WriteString(s[i : i+n]) // keeps a byte that is not UTF-8
			continue
		}
		if r == 'İ' {
			out.WriteString("i\u0307")
			continue
		}
		if lower, ok := newerLower[r]; ok {
			out.WriteRune(lower)
			continue
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
