package jinja

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// initStrMethods adds Python's methods of texts, but for encode, maketrans and translate.
func initStrMethods() {
	for name, f := range map[string]func(s string) string{
		"capitalize": capitalize, "casefold": cases.Fold().String, "lower": lower, "upper": upper,
		"swapcase": swapCase, "title": title,
	} {
		strMethod(name, 0, "", func(r *run, s string, _ []Value) (Value, error) {
			return Str(f(s)), r.pay(2 * len(s))
		})
	}
	for name, f := range map[string]func(s string) bool{
		"isalnum":      every(func(c rune) bool { return unicode.IsLetter(c) || isNumeric(c) }),
		"isalpha":      every(unicode.IsLetter),
		"isascii":      func(s string) bool { return strings.IndexFunc(s, notASCII) < 0 },
		"isdecimal":    every(unicode.IsDigit),
		"isdigit":      every(func(c rune) bool { return unicode.In(c, unicode.Nd, digitForms) }),
		"isidentifier": isIdentifier,
		"islower":      func(s string) bool { return hasCase(s, isLower, isUpper) },
		"isnumeric":    every(isNumeric),
		"isprintable":  func(s string) bool { return s == "" || every(unicode.IsPrint)(s) },
		"isspace":      every(isSpace),
		"istitle":      isTitle,
		"isupper":      func(s string) bool { return hasCase(s, isUpper, isLower) },
	} {
		strMethod(name, 0, "", func(_ *run, s string, _ []Value) (Value, error) {
			return Bool(f(s)), nil
		})
	}
	initStripping()
	initSearch()
	initPadding()
	strMethod("split", 0, "sep maxsplit", splitMethod(false))
	strMethod("rsplit", 0, "sep maxsplit", splitMethod(true))
	strMethod("splitlines", 0, "keepends", func(r *run, s string, p []Value) (Value, error) {
		return strList(r, splitLines(s, p[0] != nil && truth(p[0])))
	})
	strMethod("join", 1, "/iterable", joinMethod)
	strMethod("replace", 2, "/old /new /count", func(r *run, s string, p []Value) (Value, error) {
		from, err := strArg(p[0])
		if err != nil {
			return nil, err
		}
		to, err := strArg(p[1])
		if err != nil {
			return nil, err
		}
		count, err := intArg(p[2], -1)
		if err != nil {
			return nil, err
		}
		out, err := r.replaced(s, from, to, count)
		return Str(out), err
	})
	strMethods["format"] = &method{"format", formatMethod}
}

func joinMethod(r *run, s string, p []Value) (Value, error) {
	items, err := r.items(p[0])
	if err != nil {
		return nil, err
	}
	w := writer{r: r}
	for i, item := range items {
		part, err := strArg(item)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			w.add(s)
		}
		if w.add(part); w.err != nil {
			return nil, w.err
		}
	}
	return Str(w.out), nil
}

// initStripping adds the methods that take something off the ends.
func initStripping() {
	for name, f := range map[string]func(s string, cut func(c rune) bool) string{
		"strip": strings.TrimFunc, "lstrip": strings.TrimLeftFunc, "rstrip": strings.TrimRightFunc,
	} {
		strMethod(name, 0, "/chars", func(_ *run, s string, p []Value) (Value, error) {
			if p[0] == nil || p[0] == (None{}) {
				return Str(f(s, isSpace)), nil
			}
			set, err := strArg(p[0])
			return Str(f(s, func(c rune) bool { return strings.ContainsRune(set, c) })), err
		})
	}
	for name, f := range map[string]func(s, part string) string{
		"removeprefix": strings.TrimPrefix, "removesuffix": strings.TrimSuffix,
	} {
		strMethod(name, 1, "/part", func(_ *run, s string, p []Value) (Value, error) {
			part, err := strArg(p[0])
			return Str(f(s, part)), err
		})
	}
}

// initSearch adds the methods that look for a part.
func initSearch() {
	for name, f := range map[string]func(s, part string) int{
		"find": strings.Index, "index": strings.Index,
		"rfind": strings.LastIndex, "rindex": strings.LastIndex,
	} {
		strMethod(name, 1, "/sub /start /end", func(_ *run, s string, p []Value) (Value, error) {
			part, err := strArg(p[0])
			if err != nil {
				return nil, err
			}
			s, first, ok, err := span(s, p[1], p[2])
			if err != nil {
				return nil, err
			}
			if i := f(s, part); ok && i >= 0 {
				return Int(first + utf8.RuneCountInString(s[:i])), nil
			}
			if strings.HasSuffix(name, "index") {
				return nil, errors.New("the part is not in the text")
			}
			return Int(-1), nil
		})
	}
	strMethod("count", 1, "/sub /start /end", func(_ *run, s string, p []Value) (Value, error) {
		part, err := strArg(p[0])
		if err != nil {
			return nil, err
		}
		s, _, ok, err := span(s, p[1], p[2])
		if err != nil || !ok {
			return Int(0), err
		}
		return Int(strings.Count(s, part)), nil
	})
	for name, f := range map[string]func(s, part string) bool{
		"startswith": strings.HasPrefix, "endswith": strings.HasSuffix,
	} {
		strMethod(name, 1, "/part /start /end", func(r *run, s string, p []Value) (Value, error) {
			parts := []Value{p[0]}
			if l, ok := p[0].(*List); ok && l.isTuple() {
				parts = l.items
			}
			s, _, ok, err := span(s, p[1], p[2])
			if err != nil {
				return nil, err
			}
			for _, v := range parts {
				part, err := strArg(v)
				if err != nil {
					return nil, err
				}
				if ok && f(s, part) {
					return Bool(true), nil
				}
			}
			return Bool(false), nil
		})
	}
	for name, f := range map[string]func(s, part string) int{
		"partition": strings.Index, "rpartition": strings.LastIndex,
	} {
		strMethod(name, 1, "/sep", func(_ *run, s string, p []Value) (Value, error) {
			sep, err := strArg(p[0])
			if err != nil {
				return nil, err
			}
			if sep == "" {
				return nil, errors.New("the separator is empty")
			}
			i := f(s, sep)
			switch {
			case i >= 0:
				return newTuple(Str(s[:i]), Str(sep), Str(s[i+len(sep):])), nil
			case name == "partition":
				return newTuple(Str(s), Str(""), Str("")), nil
			}
			return newTuple(Str(""), Str(""), Str(s)), nil
		})
	}
}

// initPadding adds the methods that make a text as long as is wanted.
func initPadding() {
	for name, left := range map[string]func(pad, width int) int{
		"ljust":  func(int, int) int { return 0 },
		"rjust":  func(pad, _ int) int { return pad },
		"center": func(pad, width int) int { return pad/2 + pad&width&1 },
	} {
		strMethod(name, 1, "/width /fillchar", func(_ *run, s string, p []Value) (Value, error) {
			fill := " "
			if p[1] != nil {
				fill, _ = text(p[1])
			}
			if utf8.RuneCountInString(fill) != 1 {
				return nil, errors.New("the fill is not one character")
			}
			width, err := intArg(p[0], 0)
			if err != nil {
				return nil, err
			}
			pad := max(width-utf8.RuneCountInString(s), 0)
			if pad > maxText/len(fill) {
				return nil, errTooLong
			}
			before := left(pad, width)
			return Str(strings.Repeat(fill, before) + s + strings.Repeat(fill, pad-before)), nil
		})
	}
	strMethod("zfill", 1, "/width", func(_ *run, s string, p []Value) (Value, error) {
		width, err := intArg(p[0], 0)
		if err != nil {
			return nil, err
		}
		pad := max(width-utf8.RuneCountInString(s), 0)
		if pad > maxText {
			return nil, errTooLong
		}
		sign := signAt(s)
		return Str(sign + strings.Repeat("0", pad) + s[len(sign):]), nil
	})
	strMethod("expandtabs", 0, "tabsize", func(_ *run, s string, p []Value) (Value, error) {
		size, err := intArg(p[0], 8)
		if err != nil {
			return nil, err
		}
		if size > maxText/(strings.Count(s, "\t")+1) {
			return nil, errTooLong
		}
		var out strings.Builder
		column := 0
		for _, c := range s {
			switch {
			case c == '\t' && size > 0:
				n := size - column%size
				out.WriteString(strings.Repeat(" ", n))
				column += n
				continue
			case c == '\t':
				continue
			case c == '\n' || c == '\r':
				column = -1
			}
			column++
			out.WriteRune(c)
		}
		return Str(out.String()), nil
	})
}

func notASCII(c rune) bool { return c >= utf8.RuneSelf }

// lower, upper and title follow Unicode's full mappings, as Python does. A Caser has a state.
func lower(s string) string {
	if strings.IndexFunc(s, notASCII) < 0 {
		return strings.ToLower(s)
	}
	return cases.Lower(language.Und).String(s)
}

func upper(s string) string {
	if strings.IndexFunc(s, notASCII) < 0 {
		return strings.ToUpper(s)
	}
	return cases.Upper(language.Und).String(s)
}

// titleChar returns a character as it begins a word.
func titleChar(s string) string {
	if strings.IndexFunc(s, notASCII) < 0 {
		return strings.ToUpper(s)
	}
	return cases.Title(language.Und).String(s)
}

func capitalize(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return titleChar(s[:n]) + lower(s[n:])
}

func title(s string) string {
	var out strings.Builder
	inside := false
	for _, c := range s {
		if inside {
			out.WriteString(lower(string(c)))
		} else {
			out.WriteString(titleChar(string(c)))
		}
		inside = isUpper(c) || isLower(c) || unicode.IsTitle(c)
	}
	return out.String()
}

func swapCase(s string) string {
	var out strings.Builder
	for _, c := range s {
		switch {
		case isUpper(c):
			out.WriteString(lower(string(c)))
		case isLower(c):
			out.WriteString(upper(string(c)))
		default:
			out.WriteRune(c)
		}
	}
	return out.String()
}

func isUpper(c rune) bool { return unicode.IsUpper(c) || unicode.Is(unicode.Other_Uppercase, c) }

func isLower(c rune) bool { return unicode.IsLower(c) || unicode.Is(unicode.Other_Lowercase, c) }

func isNumeric(c rune) bool { return unicode.IsNumber(c) }

// digitForms are the characters that are digits to Python without being decimals, such as ².
var digitForms = &unicode.RangeTable{R16: []unicode.Range16{
	{Lo: 0xB2, Hi: 0xB3, Stride: 1}, {Lo: 0xB9, Hi: 0xB9, Stride: 1},
	{Lo: 0x1369, Hi: 0x1371, Stride: 1}, {Lo: 0x19DA, Hi: 0x19DA, Stride: 1},
	{Lo: 0x2070, Hi: 0x2070, Stride: 1}, {Lo: 0x2074, Hi: 0x2079, Stride: 1},
	{Lo: 0x2080, Hi: 0x2089, Stride: 1}, {Lo: 0x2460, Hi: 0x2468, Stride: 1},
	{Lo: 0x2474, Hi: 0x247C, Stride: 1}, {Lo: 0x2488, Hi: 0x2490, Stride: 1},
	{Lo: 0x24EA, Hi: 0x24EA, Stride: 1}, {Lo: 0x24F5, Hi: 0x24FD, Stride: 1},
	{Lo: 0x24FF, Hi: 0x24FF, Stride: 1}, {Lo: 0x2776, Hi: 0x277E, Stride: 1},
	{Lo: 0x2780, Hi: 0x2788, Stride: 1}, {Lo: 0x278A, Hi: 0x2792, Stride: 1},
}, LatinOffset: 2}

// every reports whether a text has characters and all of them pass.
func every(is func(c rune) bool) func(s string) bool {
	return func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(c rune) bool { return !is(c) }) < 0
	}
}

// hasCase reports whether a text has characters of one case and none of the other.
func hasCase(s string, is, not func(c rune) bool) bool {
	return strings.IndexFunc(s, is) >= 0 && strings.IndexFunc(s, not) < 0 &&
		strings.IndexFunc(s, unicode.IsTitle) < 0
}

func isTitle(s string) bool {
	inside, any := false, false
	for _, c := range s {
		switch {
		case isUpper(c) || unicode.IsTitle(c):
			if inside {
				return false
			}
			inside, any = true, true
		case isLower(c):
			if !inside {
				return false
			}
		default:
			inside = false
		}
	}
	return any
}

func isIdentifier(s string) bool {
	for i, c := range s {
		if c != '_' && !unicode.IsLetter(c) && (i == 0 || !unicode.In(c, unicode.M, unicode.Nd)) {
			return false
		}
	}
	return s != ""
}
