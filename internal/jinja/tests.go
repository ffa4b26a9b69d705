package jinja

import "fmt"

// A test is a function that a template applies with is.
type test func(r *run, v Value, a arguments) (bool, error)

// tests are Jinja's tests. They are set by init, because select and others look tests up.
var tests map[string]test

func init() {
	tests = map[string]test{
		"boolean":     kindTest(func(v Value) bool { _, ok := v.(Bool); return ok }),
		"callable":    kindTest(isCallable),
		"defined":     kindTest(func(v Value) bool { return !isUndefined(v) }),
		"undefined":   kindTest(isUndefined),
		"divisibleby": testDivisible,
		"escaped":     kindTest(func(v Value) bool { _, ok := v.(Markup); return ok }),
		"even":        parityTest(0),
		"odd":         parityTest(1),
		"false":       kindTest(func(v Value) bool { return v == Bool(false) }),
		"true":        kindTest(func(v Value) bool { return v == Bool(true) }),
		"filter":      nameTest(func(s string) bool { return filters[s] != nil }),
		"test":        nameTest(func(s string) bool { return tests[s] != nil }),
		"float":       kindTest(func(v Value) bool { _, ok := v.(Float); return ok }),
		"in":          operatorTest("in"),
		"integer":     kindTest(isInteger),
		"iterable":    kindTest(isIterable),
		"lower":       caseTest("islower"),
		"upper":       caseTest("isupper"),
		"mapping":     kindTest(func(v Value) bool { _, ok := v.(*Dict); return ok }),
		"none":        kindTest(func(v Value) bool { return v == None{} }),
		"number":      kindTest(isNumber),
		"sameas":      testSame,
		"sequence":    kindTest(isSequence),
		"string":      kindTest(func(v Value) bool { _, ok := text(v); return ok }),
	}
	for op, names := range map[string][]string{
		"==": {"==", "eq", "equalto"}, "!=": {"!=", "ne"}, "<": {"<", "lt", "lessthan"},
		"<=": {"<=", "le"}, ">": {">", "gt", "greaterthan"}, ">=": {">=", "ge"},
	} {
		for _, title := range names {
			tests[title] = operatorTest(op)
		}
	}
}

// kindTest is a test without arguments that looks at the value's type.
func kindTest(is func(v Value) bool) test {
	return func(_ *run, v Value, a arguments) (bool, error) {
		_, err := a.bind("the test", 0)
		return is(v), err
	}
}

func operatorTest(op string) test {
	return func(r *run, v Value, a arguments) (bool, error) {
		p, err := a.bind("the test", 1, "/other")
		if err != nil {
			return false, err
		}
		return r.compare(op, v, p[0])
	}
}

func parityTest(rest Int) test {
	return func(r *run, v Value, a arguments) (bool, error) {
		if _, err := a.bind("the test", 0); err != nil {
			return false, err
		}
		return leaves(r, v, Int(2), rest)
	}
}

func testDivisible(r *run, v Value, a arguments) (bool, error) {
	p, err := a.bind("divisibleby", 1, "num")
	if err != nil {
		return false, err
	}
	return leaves(r, v, p[0], 0)
}

// leaves reports whether v % by is rest.
func leaves(r *run, v, by Value, rest Int) (bool, error) {
	left, err := r.binary("%", v, by)
	if err != nil {
		return false, err
	}
	return r.equal(left, rest, 0)
}

func nameTest(known func(s string) bool) test {
	return func(_ *run, v Value, a arguments) (bool, error) {
		s, ok := text(v)
		_, err := a.bind("the test", 0)
		return ok && known(s), err
	}
}

func caseTest(name string) test {
	return func(r *run, v Value, a arguments) (bool, error) {
		if _, err := a.bind("the test", 0); err != nil {
			return false, err
		}
		s, err := r.strOf(v)
		if err != nil {
			return false, err
		}
		is, err := strMethods[name].call(r, Str(s), arguments{})
		return err == nil && truth(is), err
	}
}

func testSame(_ *run, v Value, a arguments) (bool, error) {
	p, err := a.bind("sameas", 1, "other")
	if err != nil {
		return false, err
	}
	return v == p[0], nil
}

func isCallable(v Value) bool {
	switch v.(type) {
	case *function, *loop, *Undefined:
		return true
	}
	return false
}

func isInteger(v Value) bool {
	switch v.(type) {
	case Int, BigInt:
		return true
	}
	return false
}

func isNumber(v Value) bool {
	_, big := v.(BigInt)
	_, ok := number(v)
	return ok || big
}

func isIterable(v Value) bool {
	switch v.(type) {
	case Str, Markup, *List, *Dict, *Range, *iterator, *Undefined, *loop:
		return true
	}
	return false
}

func isSequence(v Value) bool {
	switch v := v.(type) {
	case Str, Markup, *Dict, *Range, *Undefined:
		return true
	case *List:
		return !v.isView()
	}
	return false
}

// findTest returns the test of a name that is a value.
func findTest(v Value) (test, error) {
	title, _ := text(v)
	if t := tests[title]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("there is no test %.100q", title)
}
