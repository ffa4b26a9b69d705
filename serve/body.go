package serve

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Bounds for a request's JSON, which limit the memory of its values to a few times its size.
const (
	maxDepth = 64 // of nested objects and lists
	// valuesOfItem times MaxItems limits the values of a body, not counting numbers.
	valuesOfItem = 256
)

// checkBody returns an error unless all JSON readers would read the body alike: UTF-8, each key
// once, bounded depth and number of values. encoding/json would replace bytes that are not UTF-8,
// and take the last of equal keys.
func checkBody(body []byte, maxItems int) error {
	if !utf8.Valid(body) {
		return wrong("", "the body is not UTF-8: encode it as UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	type level struct {
		keys  map[string]bool // nil: a list
		key   bool            // the next token is a key
		items int             // of a list, without numbers
	}
	var stack []level
	values := 0
	for {
		token, err := d.Token()
		if err != nil { // the end, or an error that the decoder will report
			return nil
		}
		if end, is := token.(json.Delim); is && (end == '}' || end == ']') {
			if stack = stack[:len(stack)-1]; len(stack) == 0 {
				return nil // the decoder refuses anything after it
			}
			continue
		}
		if n := len(stack) - 1; n >= 0 {
			at := &stack[n]
			if at.keys != nil && at.key {
				key, _ := token.(string)
				if n == 0 { // encoding/json ignores the case of keys
					key = strings.ToLower(key)
				}
				if at.keys[key] {
					return wrong("", "the body has the same key twice in one object: leave one of them out")
				}
				at.keys[key], at.key = true, false
				continue
			}
			at.key = true
			if _, number := token.(json.Number); !number {
				values++
				if at.items++; at.keys == nil && at.items > maxItems {
					return refuse(http.StatusRequestEntityTooLarge, "a list of the body has more entries "+
						"than the server takes, up to %d at once: send it in parts", maxItems)
				}
			}
		}
		if values > valuesOfItem*maxItems {
			return refuse(http.StatusRequestEntityTooLarge, "the body has more than %d values: send it in "+
				"parts", valuesOfItem*maxItems)
		}
		switch token {
		case json.Delim('{'):
			stack = append(stack, level{keys: map[string]bool{}, key: true})
		case json.Delim('['):
			stack = append(stack, level{})
		}
		if len(stack) > maxDepth {
			return wrong("", "the body has objects or lists more than %d deep in one another", maxDepth)
		}
		if len(stack) == 0 {
			return nil // no object: the decoder reports it
		}
	}
}
