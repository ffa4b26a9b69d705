package jinja

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A filter is a function that a template applies with |.
type filter func(r *run, v Value, a arguments) (Value, error)

// filters are Jinja's filters. They are set by init, because map looks filters up.
var filters map[string]filter

func init() {
	filters = map[string]filter{
		"abs":         filterAbs,
		"attr":        filterAttr,
		"batch":       lazily(filterBatch),
		"capitalize":  asMethod("capitalize"),
		"center":      filterCenter,
		"count":       filterLength,
		"d":           filterDefault,
		"default":     filterDefault,
		"dictsort":    filterDictSort,
		"e":           filterEscape,
		"escape":      filterEscape,
		"first":       filterFirst,
		"float":       filterFloat,
		"forceescape": filterForceEscape,
		"format":      filterFormat,
		"groupby":     filterGroupBy,
		"indent":      filterIndent,
		"int":         filterInt,
		"items":       lazily(filterItems),
		"join":        filterJoin,
		"last":        filterLast,
		"length":      filterLength,
		"list":        filterList,
		"lower":       asMethod("lower"),
		"map":         lazily(filterMap),
		"max":         extreme("max", greater),
		"min":         extreme("min", less),
		"reject":      lazily(selector(false, false)),
		"rejectattr":  lazily(selector(false, true)),
		"replace":     filterReplace,
		"reverse":     filterReverse,
		"round":       filterRound,
		"safe":        filterSafe,
		"select":      lazily(selector(true, false)),
		"selectattr":  lazily(selector(true, true)),
		"slice":       lazily(filterSlice),
		"sort":        filterSort,
		"string":      filterString,
		"sum":         filterSum,
		"title":       filterTitle,
		"tojson":      filterToJSON,
		"trim":        filterTrim,
		"truncate":    filterTruncate,
		"unique":      lazily(filterUnique),
		"upper":       asMethod("upper"),
		"wordcount":   filterWordCount,
	}
}

// asMethod returns a filter that calls a method of the value's text.
func asMethod(name string) filter {
	return func(r *run, v Value, a arguments) (Value, error) {
		s, err := r.soft(v)
		if err != nil {
			return nil, err
		}
		return strMethods[name].call(r, s, a)
	}
}

// soft returns a value as text; Markup stays Markup.
func (r *run) soft(v Value) (Value, error) {
	if _, ok := v.(Markup); ok {
		return v, nil
	}
	s, err := r.strOf(v)
	return Str(s), err
}

func filterAbs(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("abs", 0); err != nil {
		return nil, err
	}
	if f, ok := v.(Float); ok {
		return Float(math.Abs(float64(f))), nil
	}
	i, ok := integer(v)
	if !ok {
		return nil, badOperand("abs", v)
	}
	if i < 0 {
		return r.binary("-", Int(0), Int(i))
	}
	return Int(i), nil
}

func filterAttr(_ *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("attr", 1, "name")
	if err != nil {
		return nil, err
	}
	title, ok := text(p[0])
	if !ok {
		return nil, errors.New("attr wants a name")
	}
	if _, ok := v.(*Dict); ok && methodOf(v, title) == nil {
		return &Undefined{"the attribute " + strconv.Quote(title)}, nil
	}
	found, err := attribute(v, title)
	if found == nil {
		found = &Undefined{"the attribute " + strconv.Quote(title)}
	}
	return found, err
}

func filterCenter(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("center", 0, "width")
	if err != nil {
		return nil, err
	}
	if p[0] == nil {
		p[0] = Int(80)
	}
	s, err := r.soft(v)
	if err != nil {
		return nil, err
	}
	return strMethods["center"].call(r, s, arguments{positional: p})
}

func filterLength(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("length", 0); err != nil {
		return nil, err
	}
	n, ok := r.length(v)
	if !ok {
		return nil, fmt.Errorf("a value of type %s has no length", v.typeName())
	}
	return Int(n), nil
}

func filterDefault(_ *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("default", 0, "default_value", "boolean")
	if err != nil {
		return nil, err
	}
	if isUndefined(v) || p[1] != nil && truth(p[1]) && !truth(v) {
		if p[0] == nil {
			return Str(""), nil
		}
		return p[0], nil
	}
	return v, nil
}

var htmlEscaper = strings.NewReplacer("&", "&amp;", ">", "&gt;", "<", "&lt;", "'", "&#39;",
	`"`, "&#34;")

func filterEscape(r *run, v Value, a arguments) (Value, error) {
	if m, ok := v.(Markup); ok {
		return m, nil
	}
	return filterForceEscape(r, v, a)
}

func filterForceEscape(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("escape", 0); err != nil {
		return nil, err
	}
	s, err := r.strOf(v)
	if err != nil {
		return nil, err
	}
	if err := r.payText(len(s) + 5*strings.Count(s, "&")); err != nil { // before it is made
		return nil, err
	}
	s = htmlEscaper.Replace(s)
	return Markup(s), r.payText(len(s))
}

func filterSafe(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("safe", 0); err != nil {
		return nil, err
	}
	s, err := r.strOf(v)
	return Markup(s), err
}

func filterString(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("string", 0); err != nil {
		return nil, err
	}
	return r.soft(v)
}

// parseFloat is Python's float() of a text.
func parseFloat(s string) (float64, bool) {
	s = strings.TrimFunc(s, isSpace)
	if strings.ContainsAny(s, "xXpP") || strings.HasPrefix(s, "_") ||
		strings.HasSuffix(s, "_") || strings.Contains(s, "__") {
		return 0, false
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(s, "_", ""), 64)
	return f, err == nil || errors.Is(err, strconv.ErrRange)
}

// toFloat is Python's float().
func toFloat(v Value) (float64, bool) {
	if s, ok := text(v); ok {
		return parseFloat(s)
	}
	return number(v)
}

func filterFloat(_ *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("float", 0, "default")
	if err != nil {
		return nil, err
	}
	if u, ok := v.(*Undefined); ok {
		return nil, u.err()
	}
	if f, ok := toFloat(v); ok {
		return Float(f), nil
	}
	if p[0] == nil {
		return Float(0), nil
	}
	return p[0], nil
}

func filterInt(_ *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("int", 0, "default", "base")
	if err != nil {
		return nil, err
	}
	if u, ok := v.(*Undefined); ok {
		return nil, u.err()
	}
	if p[0] == nil {
		p[0] = Int(0)
	}
	base := 10
	if p[1] != nil {
		base, _ = integer(p[1])
	}
	if i, ok := integer(v); ok {
		return Int(i), nil
	}
	if big, ok := v.(BigInt); ok {
		return big, nil
	}
	if s, ok := text(v); ok {
		if i, err := parseInt(s, base); err == nil {
			return Int(i), nil
		} else if errors.Is(err, strconv.ErrRange) {
			return nil, errOverflow
		}
	}
	f, ok := toFloat(v)
	if _, isFloat := v.(Float); isFloat && math.IsInf(f, 0) {
		return nil, errors.New("int: infinity is no integer")
	}
	switch {
	case !ok || math.IsInf(f, 0) || math.IsNaN(f):
		return p[0], nil
	case math.Abs(f) >= 1<<63:
		return nil, errOverflow
	}
	return Int(f), nil
}

// parseInt is Python's int() of a text.
func parseInt(s string, base int) (int64, error) {
	s = strings.ToLower(strings.TrimFunc(s, isSpace))
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || strings.HasPrefix(digits, "_") && base == 10 ||
		strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return 0, strconv.ErrSyntax
	}
	if prefix := map[int]string{16: "0x", 8: "0o", 2: "0b"}[base]; prefix != "" {
		digits = strings.TrimPrefix(strings.TrimPrefix(digits, prefix), "_")
	}
	digits = strings.ReplaceAll(digits, "_", "")
	if strings.HasPrefix(s, "-") {
		digits = "-" + digits
	}
	return strconv.ParseInt(digits, base, 64)
}

func filterRound(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("round", 0, "precision", "method")
	if err != nil {
		return nil, err
	}
	digits, method := 0, "common"
	if p[0] != nil {
		var ok bool
		if digits, ok = integer(p[0]); !ok || digits > 300 || digits < -300 {
			return nil, errors.New("round: the precision is not a small integer")
		}
	}
	if p[1] != nil {
		method, _ = text(p[1])
	}
	f, ok := number(v)
	if !ok {
		return nil, badOperand("round", v)
	}
	power := math.Pow(10, float64(digits))
	i, whole := integer(v)
	switch method {
	case "common":
		switch {
		case whole && digits >= 0:
			return Int(i), nil
		case whole:
			return Int(math.RoundToEven(f*power) / power), nil
		case digits < 0:
			return Float(math.RoundToEven(f*power) / power), nil
		}
		f, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'f', digits, 64), 64)
		return Float(f), nil
	case "ceil":
		return Float(math.Ceil(f*power) / power), nil
	case "floor":
		return Float(math.Floor(f*power) / power), nil
	}
	return nil, errors.New("round: the method is not common, ceil or floor")
}

func filterReplace(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("replace", 2, "old", "new", "count")
	if err != nil {
		return nil, err
	}
	var parts [3]string
	for i, part := range []Value{v, p[0], p[1]} {
		if parts[i], err = r.strOf(part); err != nil {
			return nil, err
		}
	}
	count := -1
	if p[2] != nil && p[2] != (None{}) {
		var ok bool
		if count, ok = integer(p[2]); !ok {
			return nil, badOperand("replace", p[2])
		}
	}
	out, err := r.replaced(parts[0], parts[1], parts[2], count)
	return Str(out), err
}

func filterTrim(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("trim", 0, "chars")
	if err != nil {
		return nil, err
	}
	s, err := r.soft(v)
	if err != nil {
		return nil, err
	}
	if p[0] == nil {
		p = nil
	}
	return strMethods["strip"].call(r, s, arguments{positional: p})
}

// filterTitle begins words after white space, hyphens and opening brackets.
func filterTitle(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("title", 0); err != nil {
		return nil, err
	}
	s, err := r.strOf(v)
	if err != nil {
		return nil, err
	}
	if err := r.payText(4 * len(s)); err != nil {
		return nil, err
	}
	var out strings.Builder
	for s != "" {
		n := strings.IndexFunc(s, func(c rune) bool {
			return isSpace(c) || strings.ContainsRune("-({[<", c)
		})
		if n < 0 {
			n = len(s)
		}
		_, first := utf8.DecodeRuneInString(s[:n])
		out.WriteString(upper(s[:first]) + lower(s[first:n]))
		_, mark := utf8.DecodeRuneInString(s[n:])
		out.WriteString(s[n : n+mark])
		s = s[n+mark:]
	}
	return Str(out.String()), nil
}

func filterIndent(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("indent", 0, "width", "first", "blank")
	if err != nil {
		return nil, err
	}
	s, ok := text(v)
	if !ok {
		return nil, badOperand("indent", v)
	}
	indent, ok := text(p[0])
	if !ok {
		width, err := intArg(p[0], 4)
		if err != nil {
			return nil, err
		}
		if width > maxText {
			return nil, errTooLong
		}
		indent = strings.Repeat(" ", max(width, 0))
	}
	lines := splitLines(s+"\n", false)
	if len(lines) > maxText/(len(indent)+1) {
		return nil, errTooLong
	}
	if err := r.payText(len(s) + len(lines)*(len(indent)+1)); err != nil {
		return nil, err
	}
	var out strings.Builder
	for i, line := range lines {
		if i > 0 {
			out.WriteByte('\n')
		}
		if i == 0 && p[1] != nil && truth(p[1]) ||
			i > 0 && (line != "" || p[2] != nil && truth(p[2])) {
			out.WriteString(indent)
		}
		out.WriteString(line)
	}
	return like(v, out.String()), nil
}

func filterTruncate(r *run, v Value, a arguments) (Value, error) {
	p, err := a.bind("truncate", 0, "length", "killwords", "end", "leeway")
	if err != nil {
		return nil, err
	}
	size, leeway, end := 255, 5, "..."
	if p[0] != nil {
		size, _ = integer(p[0])
	}
	if p[2] != nil {
		end, _ = text(p[2])
	}
	if p[3] != nil && p[3] != (None{}) {
		leeway, _ = integer(p[3])
	}
	n := utf8.RuneCountInString(end)
	if size < n || leeway < 0 {
		return nil, errors.New("truncate wants a length that the end fits into")
	}
	if n, ok := r.length(v); ok && n <= size+leeway {
		return v, nil
	}
	s, ok := text(v)
	if !ok {
		return nil, badOperand("truncate", v)
	}
	if err := r.payText(len(s) + len(end)); err != nil {
		return nil, err
	}
	s = s[:byteIndex(s, size-n)]
	if p[1] == nil || !truth(p[1]) {
		if i := strings.LastIndexByte(s, ' '); i >= 0 {
			s = s[:i]
		}
	}
	return Str(s + end), nil
}

func filterWordCount(r *run, v Value, a arguments) (Value, error) {
	if _, err := a.bind("wordcount", 0); err != nil {
		return nil, err
	}
	s, err := r.strOf(v)
	if err != nil {
		return nil, err
	}
	r.scan(len(s))
	n, inside := 0, false
	for _, c := range s {
		word := c == '_' || unicode.IsLetter(c) || unicode.IsNumber(c)
		if word && !inside {
			n++
		}
		inside = word
	}
	return Int(n), nil
}
