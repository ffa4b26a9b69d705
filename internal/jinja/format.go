package jinja

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A directive is one of % formatting: %(key)-05.2f.
type directive struct {
	flags            string
	width, precision int // precision -1: not given
	verb             byte
}

// percent is Python's % of a text.
func (r *run) percent(s string, v Value) (Value, error) {
	args := []Value{v}
	if l, ok := v.(*List); ok && l.isTuple() {
		args = l.items
	}
	next := func() (Value, error) {
		if len(args) == 0 {
			return nil, errors.New("%: more directives than values")
		}
		v := args[0]
		args = args[1:]
		return v, nil
	}
	d, isDict := v.(*Dict)
	w := writer{r: r}
	for s != "" {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			w.add(s)
			break
		}
		w.add(s[:i])
		s = s[i+1:]
		var from Value
		if strings.HasPrefix(s, "(") {
			end := strings.IndexByte(s, ')')
			if end < 0 || !isDict {
				return nil, errors.New("%: a key wants a dictionary")
			}
			if from = d.Get(s[1:end]); from == nil {
				return nil, fmt.Errorf("%%: there is no entry %.100q", s[1:end])
			}
			s = s[end+1:]
			args = nil
		}
		f, n, err := parseDirective(s, next)
		if err != nil {
			return nil, err
		}
		s = s[n:]
		if f.verb == '%' {
			w.add("%")
			continue
		}
		if from == nil {
			if from, err = next(); err != nil {
				return nil, err
			}
		}
		out, err := r.formatted(f, from)
		if err != nil {
			return nil, err
		}
		if w.add(out); w.err != nil {
			return nil, w.err
		}
	}
	if len(args) > 0 && !takesKeys(v) {
		return nil, errors.New("%: more values than directives")
	}
	return Str(w.out), w.err
}

// takesKeys reports whether Python treats a value as a mapping, which may have more entries than
// there are directives.
func takesKeys(v Value) bool {
	switch v := v.(type) {
	case *Dict, *Range, *Undefined:
		return true
	case *List:
		return v.kind == plainList
	}
	return false
}

// parseDirective parses the rest of a directive after %.
func parseDirective(s string, next func() (Value, error)) (f directive, n int, err error) {
	for n < len(s) && strings.IndexByte("-+ #0", s[n]) >= 0 {
		f.flags += s[n : n+1]
		n++
	}
	size := func() (int, error) {
		if n < len(s) && s[n] == '*' {
			n++
			v, err := next()
			if err != nil {
				return 0, err
			}
			return intArg(v, 0)
		}
		begin := n
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		if begin == n {
			return 0, nil
		}
		return strconv.Atoi(s[begin:n])
	}
	if f.width, err = size(); err != nil {
		return f, n, err
	}
	if f.width < 0 {
		f.width, f.flags = -f.width, f.flags+"-"
	}
	f.precision = -1
	if n < len(s) && s[n] == '.' {
		n++
		if f.precision, err = size(); err != nil {
			return f, n, err
		}
	}
	for n < len(s) && strings.IndexByte("hlL", s[n]) >= 0 {
		n++
	}
	if n == len(s) {
		return f, n, errors.New("%: a directive is not complete")
	}
	if f.width > maxText || f.precision > 1000 {
		return f, n, errTooLong
	}
	f.verb = s[n]
	return f, n + 1, nil
}

func (f directive) has(flag string) bool { return strings.Contains(f.flags, flag) }

// formatted formats a value by a directive.
func (r *run) formatted(f directive, v Value) (string, error) {
	var digits, sign, prefix string
	switch f.verb {
	case 's', 'r', 'a':
		return r.formattedText(f, v)
	case 'c':
		if s, ok := text(v); ok && utf8.RuneCountInString(s) == 1 {
			return f.pad(s, "", ""), nil
		}
		i, ok := integer(v)
		if !ok || i < 0 || i > utf8.MaxRune {
			return "", errors.New("%c wants a character")
		}
		return f.pad(string(rune(i)), "", ""), nil
	case 'd', 'i', 'u', 'x', 'X', 'o':
		i, ok := integer(v)
		if x, isFloat := v.(Float); isFloat && strings.IndexByte("diu", f.verb) >= 0 &&
			math.Abs(float64(x)) < 1<<63 {
			i, ok = int(x), true
		}
		if !ok {
			return "", badOperand("%"+string(f.verb), v)
		}
		base := map[byte]int{'x': 16, 'X': 16, 'o': 8}[f.verb]
		digits = strconv.FormatInt(int64(i), max(base, 2))
		if base == 0 {
			digits = strconv.Itoa(i)
		}
		digits, sign = unsigned(digits)
		if len(digits) < f.precision {
			digits = strings.Repeat("0", f.precision-len(digits)) + digits
		}
		if f.has("#") {
			prefix = map[byte]string{'x': "0x", 'X': "0X", 'o': "0o"}[f.verb]
		}
		if f.verb == 'X' {
			digits = strings.ToUpper(digits)
		}
	case 'e', 'E', 'f', 'F', 'g', 'G':
		x, ok := number(v)
		if !ok {
			return "", badOperand("%"+string(f.verb), v)
		}
		digits, sign = unsigned(formatFloat(x, f))
	default:
		return "", fmt.Errorf("%%%c is not known", f.verb)
	}
	if sign == "" && f.has("+") {
		sign = "+"
	} else if sign == "" && f.has(" ") {
		sign = " "
	}
	zeros := ""
	if n := f.width - len(sign) - len(prefix) - len(digits); f.has("0") && !f.has("-") && n > 0 {
		zeros = strings.Repeat("0", n)
	}
	return f.pad(digits, sign+prefix, zeros), nil
}

func unsigned(s string) (digits, sign string) {
	if rest, ok := strings.CutPrefix(s, "-"); ok {
		return rest, "-"
	}
	return s, ""
}

// formatFloat formats %e, %f or %g as C does.
func formatFloat(x float64, f directive) string {
	precision := f.precision
	if precision < 0 {
		precision = 6
	}
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(x, 'g', -1, 64)), "+")
	}
	form := "%." + strconv.Itoa(precision) + string(f.verb)
	if f.has("#") {
		form = "%#" + form[1:]
	}
	return fmt.Sprintf(form, x)
}

func (r *run) formattedText(f directive, v Value) (string, error) {
	w := writer{r: r}
	if f.verb == 's' {
		_ = w.str(v, 0) // the error is w.err
	} else {
		w.repr(v, 1)
	}
	s := string(w.out)
	if f.precision >= 0 {
		s = s[:byteIndex(s, f.precision)]
	}
	if f.verb == 'a' && strings.IndexFunc(s, notASCII) >= 0 {
		return "", errors.New("%a is not supported for texts beyond ASCII")
	}
	return f.pad(s, "", ""), w.err
}

// pad pads a text with spaces to the width, on the left or right.
func (f directive) pad(s, before, zeros string) string {
	s = before + zeros + s
	n := f.width - utf8.RuneCountInString(s)
	if n <= 0 {
		return s
	}
	if f.has("-") {
		return s + strings.Repeat(" ", n)
	}
	return strings.Repeat(" ", n) + s
}

func filterFormat(r *run, v Value, a arguments) (Value, error) {
	s, err := r.strOf(v)
	if err != nil {
		return nil, err
	}
	if len(a.named) == 0 {
		return r.percent(s, newTuple(a.positional...))
	}
	if len(a.positional) > 0 {
		return nil, errors.New("format takes values or named values, not both")
	}
	d := &Dict{}
	for i, title := range a.names {
		d.Set(title, a.named[i])
	}
	return r.percent(s, d)
}

// formatMethod is str.format with fields such as {}, {0.a[b]} and {x!r}, without specifications.
func formatMethod(r *run, self Value, a arguments) (Value, error) {
	s, _ := text(self)
	w := writer{r: r}
	auto := 0
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			w.add(s)
			break
		}
		w.add(s[:i])
		if strings.HasPrefix(s[i+1:], s[i:i+1]) { // {{ or }}
			w.add(s[i : i+1])
			s = s[i+2:]
			continue
		}
		end := strings.IndexAny(s[i+1:], "{}")
		if s[i] == '}' || end < 0 || s[i+1+end] == '{' {
			return nil, errors.New("format: a brace stands alone")
		}
		field := s[i+1 : i+1+end]
		s = s[i+2+end:]
		field, repr := strings.CutSuffix(field, "!r")
		field = strings.TrimSuffix(field, "!s")
		v, err := r.field(field, a, &auto)
		if err != nil {
			return nil, err
		}
		if repr {
			w.repr(v, 1)
		} else {
			_ = w.str(v, 0) // the error is w.err
		}
		if w.err != nil {
			return nil, w.err
		}
	}
	return like(self, string(w.out)), w.err
}

// field finds the value of a replacement field.
func (r *run) field(field string, a arguments, auto *int) (Value, error) {
	if strings.ContainsAny(field, "!:") {
		return nil, errors.New("format: conversions and specifications are not supported")
	}
	n := strings.IndexAny(field, ".[")
	if n < 0 {
		n = len(field)
	}
	first, rest := field[:n], field[n:]
	i, err := strconv.Atoi(first)
	switch {
	case first == "" && *auto >= 0:
		i, err = *auto, nil
		*auto++
	case err == nil && *auto <= 0:
		*auto = -1
	case first == "" || err == nil:
		return nil, errors.New("format: fields with and without numbers are mixed")
	}
	v := Value(nil)
	if err == nil && i >= 0 && i < len(a.positional) {
		v = a.positional[i]
	}
	for j, title := range a.names {
		if err != nil && title == first {
			v = a.named[j]
		}
	}
	if v == nil {
		return nil, fmt.Errorf("format: there is no value for the field %.100q", field)
	}
	for rest != "" {
		part, after := rest[1:], ""
		if rest[0] == '[' {
			end := strings.IndexByte(rest, ']')
			if end < 0 {
				return nil, errors.New("format: a bracket is not closed")
			}
			part, after = rest[1:end], rest[end+1:]
		} else if n := strings.IndexAny(part, ".["); n >= 0 {
			part, after = part[:n], part[n:]
		}
		var index Value = Str(part)
		if i, err := strconv.Atoi(part); err == nil && rest[0] == '[' {
			index = Int(i)
		}
		if v, err = r.item(v, index); err != nil {
			return nil, err
		}
		if rest = after; rest != "" && rest[0] != '.' && rest[0] != '[' {
			return nil, errors.New("format: a field is malformed")
		}
	}
	return v, nil
}
