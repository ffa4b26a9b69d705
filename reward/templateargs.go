package reward

import (
	"encoding/json"
	"fmt"
	"strings"
)

// ParseTemplateArgs reads variables of a chat template, NAME=VALUE each with a JSON value; nil if
// there are none.
func ParseTemplateArgs(texts []string) (map[string]json.RawMessage, error) {
	var args map[string]json.RawMessage
	for _, text := range texts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("%q, want NAME=VALUE, such as enable_thinking=false", text)
		}
		if !json.Valid([]byte(value)) {
			return nil, fmt.Errorf("%q: the value is not JSON: want true, false, null, a number, a text "+
				"in double quotes, a list or an object, such as enable_thinking=false", text)
		}
		if args == nil {
			args = map[string]json.RawMessage{}
		}
		args[name] = json.RawMessage(value)
	}
	return args, nil
}
