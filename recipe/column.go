package recipe

import (
	"encoding/json"
	"fmt"
)

// A Column is the Column of [reward.Options]. TOML and older manifests may have an index as a
// number.
type Column string

// UnmarshalText reads the text of a TOML string or number.
func (c *Column) UnmarshalText(text []byte) error {
	*c = Column(text)
	return nil
}

// UnmarshalJSON reads a string, or the number of manifests from before columns had names.
func (c *Column) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = Column(text)
		return nil
	}
	var index int
	if err := json.Unmarshal(data, &index); err != nil {
		return fmt.Errorf("model.column is %s, want a string or an index", data)
	}
	*c = Column(fmt.Sprint(index))
	return nil
}
