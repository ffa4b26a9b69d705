// Package interval reads the ranges that flags and keys of recipes have in their struct tags, and
// says them in words.
package interval

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// An Interval is a range of numbers whose ends may be included or not.
type Interval struct {
	low, high         float64
	openLow, openHigh bool
}

// Parse reads an interval in mathematical notation: [0,1], (0,1), [1,inf).
func Parse(text string) (Interval, error) {
	low, high, ok := strings.Cut(strings.Trim(text, "[]()"), ",")
	in := Interval{openLow: strings.HasPrefix(text, "("), openHigh: strings.HasSuffix(text, ")")}
	var errs [2]error
	in.low, errs[0] = strconv.ParseFloat(low, 64)
	in.high, errs[1] = strconv.ParseFloat(high, 64)
	if !ok || errs[0] != nil || errs[1] != nil || !(in.low < in.high) {
		return in, fmt.Errorf("the range %q is no interval, such as [0,1] or (0,inf)", text)
	}
	return in, nil
}

// Contains reports whether a number is in the interval. A number that is not finite never is.
func (in Interval) Contains(x float64) bool {
	above := x > in.low || x == in.low && !in.openLow
	below := x < in.high || x == in.high && !in.openHigh
	return above && below && !math.IsInf(x, 0)
}

// String describes the interval in words.
func (in Interval) String() string {
	low, high := in.ends()
	unlimited := math.IsInf(in.high, 1)
	switch {
	case unlimited && in.openLow:
		return "more than " + low
	case unlimited:
		return low + " or more"
	case in.openLow && in.openHigh:
		return "more than " + low + " and less than " + high
	case in.openLow:
		return "more than " + low + " and up to " + high
	case in.openHigh:
		return "from " + low + " to below " + high
	}
	return "from " + low + " to " + high
}

// ends returns the ends in readable form: 1000000, but 1e+30.
func (in Interval) ends() (low, high string) {
	write := func(x float64) string {
		if math.Abs(x) <= 1e12 {
			return strconv.FormatFloat(x, 'f', -1, 64)
		}
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return write(in.low), write(in.high)
}

// Check returns an error that names the first number outside the interval of a tag. v is a number,
// a duration in seconds, or a slice or map of these. A number that is not finite is in no interval.
func Check(tag string, v reflect.Value) error {
	in, err := Parse(tag)
	if err != nil {
		return err
	}
	values := []reflect.Value{v}
	switch v.Kind() {
	case reflect.Map:
		values = nil
		for _, key := range v.MapKeys() {
			values = append(values, v.MapIndex(key))
		}
	case reflect.Slice:
		values = nil
		for i := range v.Len() {
			values = append(values, v.Index(i))
		}
	}
	for _, v := range values {
		if !in.Contains(number(v)) {
			return fmt.Errorf("%v, want %s", v.Interface(), in)
		}
	}
	return nil
}

// Wanted reports whether values of a type need an interval: numbers and durations, alone or in a
// map. Types that parse their own text, such as a log level, check it themselves, and an unsigned
// seed needs no check.
func Wanted(t reflect.Type) bool {
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return false
	case t.Kind() == reflect.Map:
		return Wanted(t.Elem())
	}
	return t.Kind() == reflect.Int || t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64
}

// number returns a value as a number, a duration in seconds.
func number(v reflect.Value) float64 {
	if d, ok := v.Interface().(time.Duration); ok {
		return d.Seconds()
	}
	return v.Convert(reflect.TypeFor[float64]()).Float()
}
