package serve

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"
)

// Bounds of a request's JSON, which keep what is made of a body within a few times its size.
const (
	maxDepth = 64 // of objects and lists in one another
	// valuesOfItem times MaxItems is how many values but numbers a body may have.
	valuesOfItem = 256
)

// checkBody returns an error unless a body is JSON of which every reader reads the same: UTF-8,
// each key once, bounded in depth and in the number of values. encoding/json would replace bytes
// that are not UTF-8, and of two equal keys take the last.
func checkBody(body []byte, maxItems int) error {
	if !utf8.Valid(body) {
		return wrong("", "the body is not UTF-8: encode it anew")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	type level struct {
		keys  map[string]bool // nil: a list
		key   bool            // the next token is a key
		items int             // of a list, but numbers
	}
	var stack []level
	values := 0
	for {
		token, err := d.Token()
		if err != nil { // the end, or an error that the decoder finds again and names
			return nil
		}
		if end, is := token.(json.Delim); is && (end == '}' || end == ']') {
			if stack = stack[:len(stack)-1]; len(stack) == 0 {
				return nil // what comes behind is the decoder's to refuse
			}
			continue
		}
		if n := len(stack) - 1; n >= 0 {
			at := &stack[n]
			if at.keys != nil && at.key {
				key, _ := token.(string)
				if n == 0 { // encoding/json takes a key in any case
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
			return nil // no object: the decoder says so
		}
	}
}
