package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
)

// flatten applies Jinja's white-space rules as transformers sets them (trim_blocks, lstrip_blocks, no trailing
// newline) and removes comments, so that what is left means the same without any rule; gonja's own handling differs in
// places. It also bounds the nesting of brackets.
func flatten(source string) (string, error) {
	source = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(source)
	source = strings.TrimSuffix(source, "\n")
	var out strings.Builder
	for at, fresh := 0, true; ; { // fresh: at is the beginning of a line
		start := nextTag(source, at)
		if start < 0 {
			out.WriteString(source[at:])
			return out.String(), nil
		}
		data, kind := source[at:start], source[start+1]
		open := start + 2
		switch {
		case strings.HasPrefix(source[open:], "-"):
			data = strings.TrimRightFunc(data, isPythonSpace)
			open++
		case strings.HasPrefix(source[open:], "+") && kind != '{':
			open++
		case kind != '{': // lstrip_blocks
			line := strings.LastIndexByte(data, '\n') + 1
			if (line > 0 || fresh) && strings.TrimFunc(data[line:], isPythonSpace) == "" {
				data = data[:line]
			}
		}
		out.WriteString(data)
		end, err := tagEnd(source, open, kind)
		if err != nil {
			return "", err
		}
		inner := source[open:end]
		at = end + 2
		control := byte(0)
		if n := len(inner); n > 0 && (inner[n-1] == '-' || inner[n-1] == '+' && kind != '{') {
			control, inner = inner[n-1], inner[:n-1]
		}
		switch kind {
		case '{':
			out.WriteString("{{ " + rewriteConditionals(inner, kind) + " }}")
		case '%':
			if word := strings.Fields(inner); len(word) == 1 && word[0] == "raw" {
				return "", fmt.Errorf("{%% raw %%} is not supported")
			}
			out.WriteString("{% " + rewriteConditionals(inner, kind) + " %}")
		}
		fresh = false
		switch {
		case control == '-':
			rest := strings.TrimLeftFunc(source[at:], isPythonSpace)
			fresh = strings.HasSuffix(source[at:len(source)-len(rest)], "\n")
			at = len(source) - len(rest)
		case control == 0 && kind != '{' && strings.HasPrefix(source[at:], "\n"): // trim_blocks
			at++
			fresh = true
		}
	}
}

// nextTag returns where the next {{, {% or {# is, -1 for none.
func nextTag(s string, at int) int {
	for {
		i := strings.IndexByte(s[at:], '{')
		if i < 0 || at+i+1 >= len(s) {
			return -1
		}
		at += i
		switch s[at+1] {
		case '{', '%', '#':
			return at
		}
		at++
	}
}

// tagEnd returns where the closing mark of a tag begins: outside strings and, as in {{ {"a": {}} }}, outside brackets.
func tagEnd(s string, at int, kind byte) (int, error) {
	if kind == '#' {
		i := strings.Index(s[at:], "#}")
		if i < 0 {
			return 0, fmt.Errorf("a comment is not closed")
		}
		return at + i, nil
	}
	closing := byte('}')
	if kind == '%' {
		closing = '%'
	}
	depth := 0
	for i := at; i < len(s); i++ {
		switch c := s[i]; c {
		case '\'', '"':
			i = stringEnd(s, i) - 1
			continue
		case '(', '[', '{':
			if depth++; depth > maxNesting {
				return 0, fmt.Errorf("brackets nest deeper than %d", maxNesting)
			}
		case ')', ']':
			depth--
		}
		if s[i] == closing && depth <= 0 && i+1 < len(s) && s[i+1] == '}' {
			return i, nil
		}
		if s[i] == '}' {
			depth--
		}
	}
	return 0, fmt.Errorf("a {%c tag is not closed", kind)
}

// isPythonSpace is str.isspace, by which Python's strip works.
func isPythonSpace(r rune) bool {
	return r >= 0x1C && r <= 0x1F || unicode.IsSpace(r)
}
