package tokenizer

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A decoder maps the list of tokens on the way to text. The output of the last decoder is joined
// without a separator.
type decoder func(tokens []string) []string

func parseDecoder(raw json.RawMessage) (decoder, error) {
	kind, err := componentType(raw)
	if err != nil || kind == "" {
		return nil, err
	}
	switch kind {
	case "ByteLevel":
		return decodeByteLevel, strict(raw, new(byteLevelConfig))
	case "ByteFallback":
		return decodeByteFallback, nil
	case "Fuse":
		return func(tokens []string) []string { return []string{strings.Join(tokens, "")} }, nil
	case "Metaspace":
		c, err := parseMetaspace(raw)
		if err != nil {
			return nil, err
		}
		return c.decode, nil
	case "Strip":
		var c struct {
			Type    string `json:"type"`
			Content string `json:"content"`
			Start   int    `json:"start"`
			Stop    int    `json:"stop"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		if utf8.RuneCountInString(c.Content) != 1 || c.Start < 0 || c.Stop < 0 {
			return nil, fmt.Errorf("component Strip: content %q must be one character and start %d, stop "+
				"%d not negative", c.Content, c.Start, c.Stop)
		}
		return eachToken(func(token string) string {
			for i := 0; i < c.Start && strings.HasPrefix(token, c.Content); i++ {
				token = token[len(c.Content):]
			}
			for i := 0; i < c.Stop && strings.HasSuffix(token, c.Content); i++ {
				token = token[:len(token)-len(c.Content)]
			}
			return token
		}), nil
	case "Replace":
		replace, err := parseReplace(raw)
		if err != nil {
			return nil, err
		}
		return eachToken(replace), nil
	case "BPEDecoder":
		var c struct {
			Type   string `json:"type"`
			Suffix string `json:"suffix"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		return func(tokens []string) []string {
			for i, token := range tokens {
				space := " "
				if i == len(tokens)-1 {
					space = ""
				}
				tokens[i] = strings.ReplaceAll(token, c.Suffix, space)
			}
			return tokens
		}, nil
	case "Sequence":
		var c struct {
			Type     string            `json:"type"`
			Decoders []json.RawMessage `json:"decoders"`
		}
		if err := strict(raw, &c); err != nil {
			return nil, err
		}
		var steps []decoder
		for _, raw := range c.Decoders {
			step, err := parseDecoder(raw)
			if err != nil {
				return nil, err
			}
			if step != nil {
				steps = append(steps, step)
			}
		}
		return func(tokens []string) []string {
			for _, step := range steps {
				tokens = step(tokens)
			}
			return tokens
		}, nil
	}
	return nil, unsupported(kind, "BPEDecoder", "ByteFallback", "ByteLevel", "Fuse", "Metaspace",
		"Replace", "Sequence", "Strip")
}

func eachToken(f func(string) string) decoder {
	return func(tokens []string) []string {
		for i := range tokens {
			tokens[i] = f(tokens[i])
		}
		return tokens
	}
}

// decodeByteLevel undoes the byte alphabet. It keeps a token with any character outside it, such as
// an added token with a space.
func decodeByteLevel(tokens []string) []string {
	var out []byte
	for _, token := range tokens {
		mark := len(out)
		for _, r := range token {
			b, ok := byteOf(r)
			if !ok {
				out = append(out[:mark], token...)
				break
			}
			out = append(out, b)
		}
	}
	return []string{validUTF8(out)}
}

// decodeByteFallback joins runs of <0x..> tokens to text, or to one U+FFFD per token if they are
// not UTF-8.
func decodeByteFallback(tokens []string) []string {
	out := make([]string, 0, len(tokens))
	var run []byte
	flush := func() {
		if utf8.Valid(run) {
			if len(run) > 0 {
				out = append(out, string(run))
			}
		} else {
			for range run {
				out = append(out, "\uFFFD")
			}
		}
		run = run[:0]
	}
	for _, token := range tokens {
		if len(token) == 6 && strings.HasPrefix(token, "<0x") && token[5] == '>' {
			if b, err := strconv.ParseUint(token[3:5], 16, 8); err == nil {
				run = append(run, byte(b))
				continue
			}
		}
		flush()
		out = append(out, token)
	}
	flush()
	return out
}

// validUTF8 replaces each maximal part of an incomplete character by one U+FFFD, like Rust and the
// Unicode standard (3.9, U+FFFD substitution of maximal subparts). Go's own functions count bytes
// or runs.
func validUTF8(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var out strings.Builder
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r != utf8.RuneError || n > 1 {
			out.Write(b[:n])
			b = b[n:]
			continue
		}
		// The longest prefix that some continuation would complete: exactly then FullRune is false.
		n = 1
		for k := min(3, len(b)); k > 1; k-- {
			if !utf8.FullRune(b[:k]) {
				n = k
				break
			}
		}
		out.WriteString("\uFFFD")
		b = b[n:]
	}
	return out.String()
}
