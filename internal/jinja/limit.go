package jinja

import (
	"errors"
	"fmt"
	"time"
)

// Limits bound one rendering. Zero values stand for those of DefaultLimits.
type Limits struct {
	Steps int           // nodes evaluated and items gone through
	Bytes int           // bytes of all texts and lists made on the way
	Time  time.Duration // from beginning to end
}

// DefaultLimits suffice for thousands of turns in a published template.
var DefaultLimits = Limits{Steps: 5_000_000, Bytes: 1 << 30, Time: 20 * time.Second}

const (
	maxText       = 1 << 26            // bytes of any one text
	itemSize      = 32                 // bytes paid for an item of a list
	maxItems      = 1 << 30 / itemSize // items of a list, checked before it is paid for
	maxSource     = 1 << 18            // bytes of a template
	maxNesting    = 100                // of brackets and blocks in the source
	maxDepth      = 900                // of a value within values, as in Python
	maxMacroDepth = 200                // of macros that call each other
	maxEvalDepth  = 20_000             // of nodes within nodes while rendering
	maxRange      = 100_000            // numbers of a range, as in the sandbox
	scanPerStep   = 1 << 12            // bytes of text looked through for the price of a step
	madePerStep   = 1 << 14            // bytes made for the price of a step
	stepsPerCheck = 256                // between looks at the clock
)

var errTooLong = fmt.Errorf("the template makes a text of more than %d MB: it was stopped",
	maxText>>20)

var errTooMany = fmt.Errorf("the template makes a list of more than %d elements: it was stopped",
	maxItems)

var errTooDeep = errors.New("values nest too deep")

// A budget is the unused part of the limits.
type budget struct {
	limits       Limits
	steps, bytes int
	toCheck      int // steps until the next look at the clock
	deadline     time.Time
	failed       error // the first limit that was reached
}

func newBudget(l Limits) budget {
	if l.Steps == 0 {
		l.Steps = DefaultLimits.Steps
	}
	if l.Bytes == 0 {
		l.Bytes = DefaultLimits.Bytes
	}
	if l.Time == 0 {
		l.Time = DefaultLimits.Time
	}
	return budget{limits: l, steps: l.Steps, bytes: l.Bytes, toCheck: stepsPerCheck,
		deadline: time.Now().Add(l.Time)}
}

// spend uses steps, and returns an error once there are none left.
func (b *budget) spend(steps int) error {
	b.steps -= steps
	b.toCheck -= steps
	if b.steps >= 0 && b.toCheck > 0 && b.failed == nil {
		return nil
	}
	return b.check()
}

func (b *budget) check() error {
	b.toCheck = stepsPerCheck
	switch {
	case b.failed != nil:
	case b.bytes < 0:
		b.failed = fmt.Errorf("the template makes more than %d MB of text: it was stopped",
			b.limits.Bytes>>20)
	case b.steps < 0:
		b.failed = fmt.Errorf("the template takes more than %d steps: it was stopped",
			b.limits.Steps)
	case time.Now().After(b.deadline):
		b.failed = fmt.Errorf("the template runs longer than %s: it was stopped", b.limits.Time)
	}
	return b.failed
}

// pay uses the bytes of a value before it is made, and the steps for making it.
func (b *budget) pay(bytes int) error {
	b.bytes -= bytes
	if bytes < 0 || b.bytes < 0 {
		b.bytes = -1
		return b.check()
	}
	return b.spend(bytes / madePerStep)
}

// payText is pay for one text.
func (b *budget) payText(bytes int) error {
	if bytes < 0 || bytes > maxText {
		return errTooLong
	}
	return b.pay(bytes)
}

// payItems is pay for a list of n items.
func (b *budget) payItems(n int) error {
	if n < 0 || n > maxItems {
		return errTooMany
	}
	return b.pay(n * itemSize)
}

// scan uses the steps for searching a text. If none are left, the next node fails.
func (b *budget) scan(bytes int) { _ = b.spend(bytes / scanPerStep) }
