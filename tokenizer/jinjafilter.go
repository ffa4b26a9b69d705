package tokenizer

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nikolalohinski/gonja/v2/exec"
)

// filterToJSON is transformers' tojson: json.dumps with its options, not escaped for HTML.
func filterToJSON(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	if _, err := checkText(in); err != nil { // before the same text is written many times
		return exec.AsValue(err)
	}
	w := &jsonWriter{item: ", ", key: ": "}
	options := map[string]*exec.Value{}
	for i, arg := range params.Args {
		if i == 4 {
			return exec.AsValue(errors.New("tojson takes at most four arguments"))
		}
		options[[]string{"ensure_ascii", "indent", "separators", "sort_keys"}[i]] = arg
	}
	for name, arg := range params.KwArgs {
		options[name] = arg
	}
	for name, arg := range options {
		switch name {
		case "ensure_ascii":
			w.ascii = arg.IsTrue()
		case "sort_keys":
			w.sort = arg.IsTrue()
		case "indent":
			if arg.IsString() {
				w.indent = arg.String()
			} else if arg.IsInteger() && arg.Integer() >= 0 && arg.Integer() <= 64 {
				w.indent = strings.Repeat(" ", arg.Integer())
			} else if !arg.IsNil() {
				return exec.AsValue(fmt.Errorf("tojson: indent %s is not supported", arg))
			}
		case "separators":
		default:
			return exec.AsValue(fmt.Errorf("tojson has no argument %q", name))
		}
	}
	if w.indent != "" {
		w.item = ","
	}
	if s := options["separators"]; s != nil && !s.IsNil() {
		if !s.IsList() || s.Len() != 2 {
			return exec.AsValue(errors.New("tojson: separators is not a pair"))
		}
		w.item, w.key = s.Index(0).String(), s.Index(1).String()
	}
	if err := w.write(in); err != nil {
		return exec.AsValue(err)
	}
	return exec.AsSafeValue(w.out.String())
}

func sortedPairs(entries []*exec.Pair) []*exec.Pair {
	return slices.SortedStableFunc(slices.Values(entries), func(a, b *exec.Pair) int {
		return strings.Compare(a.Key.String(), b.Key.String())
	})
}

// filterItems is items with the dictionary's order kept.
func filterItems(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	switch {
	case in.IsError():
		return in
	case in.IsNil():
		return exec.AsValue(jinjaList{})
	case !in.IsDict():
		return exec.AsValue(errors.New("items: the value is not a dictionary"))
	}
	return exec.AsValue(items(in))
}

func items(dict *exec.Value) jinjaList {
	list := jinjaList{}
	for _, p := range pairs(dict) {
		list = append(list, jinjaList{p.Key.Interface(), p.Value.Interface()})
	}
	return list
}

// filterTrim is trim with Python's idea of white space, and of other values' text.
func filterTrim(_ *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	out, err := strip(in.String(), params, true, true)
	if err != nil {
		return exec.AsValue(err)
	}
	return exec.AsValue(out)
}

// filterPick returns the first element of a list, or the error that it is (see conditional.go).
func filterPick(_ *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	return in.Index(0)
}

// strip is str.strip and its one-sided forms, with an optional set of characters.
func strip(s string, params *exec.VarArgs, left, right bool) (any, error) {
	cut := isPythonSpace
	if arg := argument(params, 0, "chars"); arg != nil && !arg.IsNil() {
		if !arg.IsString() {
			return nil, fmt.Errorf("strip: %s is not a string", arg)
		}
		set := arg.String()
		cut = func(r rune) bool { return strings.ContainsRune(set, r) }
	}
	if left {
		s = strings.TrimLeftFunc(s, cut)
	}
	if right {
		s = strings.TrimRightFunc(s, cut)
	}
	return s, nil
}

func argument(params *exec.VarArgs, i int, name string) *exec.Value {
	if i < len(params.Args) {
		return params.Args[i]
	}
	return params.KwArgs[name]
}

var stringMethods = map[string]exec.Method[string]{
	"strip":  func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) { return strip(s, p, true, true) },
	"lstrip": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) { return strip(s, p, true, false) },
	"rstrip": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) { return strip(s, p, false, true) },
	"split":  func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) { return split(s, p, false) },
	"rsplit": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) { return split(s, p, true) },
	"replace": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		from, to, count := argument(p, 0, "old"), argument(p, 1, "new"), argument(p, 2, "count")
		if from == nil || to == nil || !from.IsString() || !to.IsString() {
			return nil, errors.New("replace takes two texts")
		}
		limit := -1
		if count != nil {
			limit = count.Integer()
		}
		if replacedSize(s, from, to) > textLimit {
			return nil, errTooLong
		}
		return strings.Replace(s, from.String(), to.String(), limit), nil
	},
	"join": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		list := argument(p, 0, "iterable")
		if list == nil || !list.IsList() && !list.IsDict() {
			return nil, errors.New("join takes a list of texts")
		}
		if textSize(list, textLimit)+product(list.Len(), len(s)) > textLimit {
			return nil, errTooLong
		}
		var parts []string
		var bad error
		list.Iterate(func(_, _ int, item, _ *exec.Value) bool {
			if !item.IsString() {
				bad = fmt.Errorf("join: %s in the list, texts were wanted", kindOf(item))
			}
			parts = append(parts, item.String())
			return bad == nil
		}, func() {})
		return strings.Join(parts, s), bad
	},
	"zfill": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		width := argument(p, 0, "width")
		if width == nil || !width.IsInteger() || width.Integer() > textLimit {
			return nil, errors.New("zfill takes a width")
		}
		sign := ""
		if strings.HasPrefix(s, "-") || strings.HasPrefix(s, "+") {
			sign, s = s[:1], s[1:]
		}
		return sign + strings.Repeat("0", max(width.Integer()-len(sign)-utf8.RuneCountInString(s), 0)) + s, nil
	},
	"find": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		part := argument(p, 0, "sub")
		if part == nil || !part.IsString() || len(p.Args) > 1 {
			return nil, errors.New("find takes one text")
		}
		i := strings.Index(s, part.String())
		if i < 0 {
			return i, nil
		}
		return utf8.RuneCountInString(s[:i]), nil
	},
	"count": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		part := argument(p, 0, "sub")
		if part == nil || !part.IsString() || len(p.Args) > 1 {
			return nil, errors.New("count takes one text")
		}
		return strings.Count(s, part.String()), nil
	},
	"splitlines": func(s string, _ *exec.Value, p *exec.VarArgs) (any, error) {
		keep := argument(p, 0, "keepends")
		list := jinjaList{}
		for line := range strings.Lines(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)) {
			if keep == nil || !keep.IsTrue() {
				line = strings.TrimSuffix(line, "\n")
			}
			list = append(list, line)
		}
		return list, nil
	},
}

// split is str.split, or with fromRight str.rsplit.
func split(s string, params *exec.VarArgs, fromRight bool) (any, error) {
	limit := -1
	if arg := argument(params, 1, "maxsplit"); arg != nil {
		if !arg.IsInteger() {
			return nil, fmt.Errorf("split: maxsplit %s is not an integer", arg)
		}
		limit = arg.Integer()
	}
	var parts []string
	arg := argument(params, 0, "sep")
	switch {
	case arg == nil || arg.IsNil():
		if limit >= 0 {
			return nil, errors.New("split: maxsplit without a separator is not supported")
		}
		parts = strings.FieldsFunc(s, isPythonSpace)
	case !arg.IsString() || arg.String() == "":
		return nil, errors.New("split: the separator is not a text of some length")
	case limit >= 0 && fromRight:
		for ; limit > 0; limit-- {
			i := strings.LastIndex(s, arg.String())
			if i < 0 {
				break
			}
			parts = append(parts, s[i+len(arg.String()):])
			s = s[:i]
		}
		parts = append(parts, s)
		slices.Reverse(parts)
	case limit >= 0:
		parts = strings.SplitN(s, arg.String(), limit+1)
	default:
		parts = strings.Split(s, arg.String())
	}
	list := make(jinjaList, len(parts))
	for i, part := range parts {
		list[i] = part
	}
	return list, nil
}

var dictMethods = map[string]exec.Method[map[string]any]{
	"items": func(_ map[string]any, self *exec.Value, _ *exec.VarArgs) (any, error) { return items(self), nil },
	"keys": func(_ map[string]any, self *exec.Value, _ *exec.VarArgs) (any, error) {
		list := jinjaList{}
		for _, p := range pairs(self) {
			list = append(list, p.Key.Interface())
		}
		return list, nil
	},
	"values": func(_ map[string]any, self *exec.Value, _ *exec.VarArgs) (any, error) {
		list := jinjaList{}
		for _, p := range pairs(self) {
			list = append(list, p.Value.Interface())
		}
		return list, nil
	},
	"get": func(_ map[string]any, self *exec.Value, params *exec.VarArgs) (any, error) {
		key := argument(params, 0, "key")
		if key == nil {
			return nil, errors.New("get takes a key and a default")
		}
		for _, p := range pairs(self) {
			if p.Key.EqualValueTo(key) {
				return p.Value.Interface(), nil
			}
		}
		if other := argument(params, 1, "default"); other != nil {
			return other.Interface(), nil
		}
		return nil, nil
	},
}

// strftimeLayouts are the directives in Go's terms.
var strftimeLayouts = map[byte]string{
	'Y': "2006", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05", 'y': "06", 'b': "Jan", 'B': "January", 'a': "Mon",
	'A': "Monday", 'I': "03", 'p': "PM", 'j': "002", 'F': "2006-01-02", 'T': "15:04:05",
}

func strftime(now time.Time, params *exec.VarArgs) (string, error) {
	arg := argument(params, 0, "format")
	if arg == nil || !arg.IsString() {
		return "", errors.New("strftime_now takes a format")
	}
	format := arg.String()
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		c, bare := format[i], false
		if c == '-' && i+1 < len(format) {
			i++
			c, bare = format[i], true
		}
		layout, ok := strftimeLayouts[c]
		switch {
		case c == '%':
			out.WriteByte('%')
		case c == 'f':
			fmt.Fprintf(&out, "%06d", now.Nanosecond()/1000)
		case !ok:
			return "", fmt.Errorf("strftime_now: %%%c is not supported", c)
		case bare:
			text := strings.TrimLeft(now.Format(layout), "0")
			if text == "" {
				text = "0"
			}
			out.WriteString(text)
		default:
			out.WriteString(now.Format(layout))
		}
	}
	return out.String(), nil
}
