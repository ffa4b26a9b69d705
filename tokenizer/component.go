package tokenizer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"haf/internal/wholefile"
)

// componentType returns the type of a part of tokenizer.json, or "" if it is absent or null.
func componentType(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var c struct {
		Type string `json:"type"`
	}
	if err := wholefile.Unmarshal(raw, &c); err != nil {
		return "", err
	}
	if c.Type == "" {
		return "", fmt.Errorf("has no type")
	}
	return c.Type, nil
}

// strict decodes a component and refuses unknown settings, because they could change ids.
func strict(raw json.RawMessage, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(to); err != nil {
		kind, _ := componentType(raw)
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// unsupported is the error for a component of an unknown kind; of are the supported kinds.
func unsupported(kind string, of ...string) error {
	return fmt.Errorf("type %q is not supported; supported are %s", kind, strings.Join(of, ", "))
}
