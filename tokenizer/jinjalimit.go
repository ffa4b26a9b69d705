package tokenizer

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"time"
	"unsafe"

	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/nodes"
	"github.com/nikolalohinski/gonja/v2/tokens"
)

// A chat template comes from whoever made the model, so what it may use is bounded. gonja has no place to count at, so
// the tree it has parsed is changed: every body pays for itself before it runs, every output, call and filter for what
// it gave, and the operators that make long texts are haf's own (jinjaoperator.go).
const (
	maxOutput = 1 << 26            // bytes of a rendered conversation
	textLimit = maxOutput          // bytes of any one text
	maxDepth  = 200                // of macros that call each other
	itemSize  = 32                 // bytes of a list's element
	listLimit = 1 << 30 / itemSize // elements of one list, before it is paid for
)

// limits are what one rendering may use.
type limits struct {
	steps int           // bodies, outputs, calls, filters, operators
	made  int           // bytes of all texts and lists made on the way
	time  time.Duration // a published template takes milliseconds for a long conversation
}

var usualLimits = limits{steps: 1_000_000, made: 1 << 30, time: 20 * time.Second}

// Names of the filters that only the changed tree uses: no template can name them.
const (
	payName    = " pay"
	madeName   = " made"
	writeName  = " write"
	budgetName = " budget"
)

// A budget is what of the limits is left.
type budget struct {
	limits
	left     limits
	depth    int // of macro calls
	deadline time.Time
}

func newBudget(l limits) *budget {
	return &budget{limits: l, left: l, deadline: time.Now().Add(l.time)}
}

// pay takes a step and bytes of the budget.
func (b *budget) pay(bytes int) error {
	b.left.made -= bytes
	b.left.steps--
	switch {
	case bytes < 0 || b.left.made < 0:
		return fmt.Errorf("the template makes more than %d MB of text: it was stopped", b.made>>20)
	case b.left.steps < 0:
		return fmt.Errorf("the template takes more than %d steps: it was stopped", b.steps)
	case b.left.steps%64 == 0 && time.Now().After(b.deadline):
		return fmt.Errorf("the template runs longer than %s: it was stopped", b.time)
	}
	return nil
}

// budgetOf finds the rendering's budget.
func budgetOf(e *exec.Environment) *budget {
	v, _ := e.Context.Get(budgetName)
	b, ok := v.(*budget)
	if !ok {
		return &budget{} // nothing left: cannot happen
	}
	return b
}

// textSize is about how many bytes a value has as text; it stops counting above the limit, for lists may hold the same
// text many times.
func textSize(v any, limit int) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case *exec.Value:
		if v == nil || v.IsNil() {
			return 4
		}
		if v.IsString() {
			return len(v.String())
		}
		return textSize(v.Interface(), limit)
	case *exec.Dict:
		n := 2
		for _, p := range v.Pairs {
			if n += textSize(p.Key, limit-n) + textSize(p.Value, limit-n) + 4; n > limit {
				break
			}
		}
		return n
	case jinjaList:
		n := 2
		for _, item := range v {
			if n += textSize(item, limit-n) + 4; n > limit {
				break
			}
		}
		return n
	}
	n := 2
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Array:
		for i := 0; i < r.Len() && n <= limit; i++ {
			if item := r.Index(i); item.CanInterface() {
				n += textSize(item.Interface(), limit-n) + 4
			}
		}
	case reflect.Map:
		for it := r.MapRange(); it.Next() && n <= limit; {
			n += textSize(it.Key().Interface(), limit-n) + textSize(it.Value().Interface(), limit-n) + 4
		}
	default:
		n = 32 // a number
	}
	return n
}

// checkText returns an error if a value is longer than a text may be.
func checkText(v *exec.Value) (int, error) {
	n := textSize(v, textLimit)
	if n > textLimit {
		return n, fmt.Errorf("the template makes a text of more than %d MB: it was stopped", textLimit>>20)
	}
	return n, nil
}

// filterPay pays for a body that is about to run: the text in it, and its step.
func filterPay(e *exec.Evaluator, in *exec.Value, params *exec.VarArgs) *exec.Value {
	if err := budgetOf(e.Environment).pay(params.First().Integer()); err != nil {
		return exec.AsValue(err)
	}
	return in
}

// filterMade pays for what a call or a filter gave.
func filterMade(e *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	size := 0
	switch {
	case in.IsError():
		return in
	case in.IsString():
		size = len(in.String())
		if size > textLimit {
			_, err := checkText(in)
			return exec.AsValue(err)
		}
	case in.IsList():
		size = itemSize * in.Len()
	}
	if err := budgetOf(e.Environment).pay(size); err != nil {
		return exec.AsValue(err)
	}
	return in
}

// filterWrite pays for what is about to be written.
func filterWrite(e *exec.Evaluator, in *exec.Value, _ *exec.VarArgs) *exec.Value {
	if in.IsError() {
		return in
	}
	size, err := checkText(in)
	if err == nil {
		err = budgetOf(e.Environment).pay(size)
	}
	if err != nil {
		return exec.AsValue(err)
	}
	return in
}

// bound makes a parsed template pay for what it does.
func bound(t *exec.Template) {
	b := &bounder{seen: map[unsafe.Pointer]bool{}, instead: map[nodes.Node]nodes.Node{}}
	root := t.Root()
	b.visit(reflect.ValueOf(root))
	root.Nodes = payFirst(root.Nodes)
}

// A bounder walks a tree by reflection, for gonja keeps the parts of its statements to itself.
type bounder struct {
	seen    map[unsafe.Pointer]bool
	instead map[nodes.Node]nodes.Node
}

var nodeType = reflect.TypeFor[nodes.Node]()

func (b *bounder) visit(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || v.Type() == reflect.TypeFor[*tokens.Token]() || b.seen[v.UnsafePointer()] {
			return
		}
		b.seen[v.UnsafePointer()] = true
		b.visit(v.Elem())
		if w, ok := v.Interface().(*nodes.Wrapper); ok {
			w.Nodes = payFirst(w.Nodes)
		}
		if o, ok := v.Interface().(*nodes.Output); ok {
			o.Expression = filtered(o.Expression, writeName)
			if o.Alternative != nil {
				o.Alternative = filtered(o.Alternative, writeName)
			}
		}
	case reflect.Interface:
		if v.IsNil() || !v.Elem().Type().Implements(nodeType) {
			return
		}
		b.visit(v.Elem())
		node, ok := v.Interface().(nodes.Node)
		if !ok || v.Elem().Kind() != reflect.Pointer {
			return
		}
		changed, known := b.instead[node]
		if !known {
			changed = change(node)
			b.instead[node] = changed
		}
		if changed != node && reflect.TypeOf(changed).AssignableTo(v.Type()) {
			v.Set(reflect.ValueOf(changed))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if !f.CanSet() && f.CanAddr() {
				f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
			}
			b.visit(f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			b.visit(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if it.Value().Kind() == reflect.Interface || it.Value().Kind() == reflect.Pointer {
				item := reflect.New(it.Value().Type()).Elem()
				item.Set(it.Value())
				b.visit(item)
				v.SetMapIndex(it.Key(), item)
			}
		}
	}
}

// change returns what stands in a node's place.
func change(node nodes.Node) nodes.Node {
	switch n := node.(type) {
	case *nodes.BinaryExpression:
		if name, ok := operators[n.Operator.Token.Type]; ok {
			f := filtered(n.Left, name)
			f.Filters[0].Args = []nodes.Expression{n.Right}
			return f
		}
	case *nodes.Call, *nodes.GetSlice:
		return filtered(n, madeName)
	case *nodes.FilteredExpression:
		n.Filters = append(n.Filters, &nodes.FilterCall{Token: n.Position(), Name: madeName})
	}
	return node
}

func filtered(e nodes.Expression, name string) *nodes.FilteredExpression {
	return &nodes.FilteredExpression{Expression: e, Filters: []*nodes.FilterCall{{Token: e.Position(), Name: name}}}
}

// payFirst puts before a body an output of nothing that pays for the text in it.
func payFirst(body []nodes.Node) []nodes.Node {
	size := 0
	at := &tokens.Token{}
	for _, n := range body {
		if d, ok := n.(*nodes.Data); ok {
			size += len(d.Data.Val)
			at = d.Data
		}
	}
	pay := filtered(&nodes.String{Location: at}, payName)
	pay.Filters[0].Args = []nodes.Expression{&nodes.Integer{Location: at, Val: size}}
	return append([]nodes.Node{&nodes.Output{Start: at, Expression: pay, End: at}}, body...)
}

// wrapping is what gonja puts before the error of a filter that stands in the changed tree.
var wrapping = regexp.MustCompile(`invalid call to filter '( \S+|_pick)': |unable to evaluate filter &\{.*?\}: `)

// linePattern finds in gonja's errors the line of a flattened template.
var linePattern = regexp.MustCompile(`at line (\d+)`)

// cause finds what began an error: gonja tells of every node on the way.
func cause(err error) error {
	for {
		var inner error
		switch e := err.(type) { //nolint:errorlint // this walks the chain
		case *exec.Value:
			inner, _ = e.Interface().(error)
		case interface{ Unwrap() error }:
			inner = e.Unwrap()
		case interface{ Cause() error }:
			inner = e.Cause()
		}
		if inner == nil || inner == err {
			return err
		}
		err = inner
	}
}

// explained is a rendering's error for people.
func explained(err error) error {
	inner := cause(err)
	if short := wrapping.ReplaceAllString(inner.Error(), ""); short != inner.Error() {
		inner = errors.New(short)
	}
	if line := linePattern.FindStringSubmatch(err.Error()); line != nil && !strings.Contains(inner.Error(), "at line") {
		return fmt.Errorf("line %s: %w", line[1], inner)
	}
	return inner
}
