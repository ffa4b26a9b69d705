package tokenizer

import (
	"encoding/json"
	"fmt"
	"slices"
)

// An affix holds the ids that the post-processor puts before and after a text's ids.
type affix struct{ before, after []int32 }

func (a affix) equal(b affix) bool {
	return slices.Equal(a.before, b.before) && slices.Equal(a.after, b.after)
}

// parsePostProcessor reads the part of post_processor for single texts. The part for pairs is
// unused.
func parsePostProcessor(raw json.RawMessage) (affix, error) {
	var a affix
	kind, err := componentType(raw)
	if err != nil || kind == "" {
		return a, err
	}
	switch kind {
	case "ByteLevel": // changes only offsets
		return a, nil
	case "Sequence":
		var c struct {
			Type       string            `json:"type"`
			Processors []json.RawMessage `json:"processors"`
		}
		if err := strict(raw, &c); err != nil {
			return a, err
		}
		for _, raw := range c.Processors {
			inner, err := parsePostProcessor(raw)
			if err != nil {
				return a, err
			}
			a.before = append(slices.Clone(inner.before), a.before...)
			a.after = append(a.after, inner.after...)
		}
		return a, nil
	case "BertProcessing", "RobertaProcessing":
		var c struct {
			Type           string `json:"type"`
			Sep            ends   `json:"sep"`
			Cls            ends   `json:"cls"`
			TrimOffsets    bool   `json:"trim_offsets"`
			AddPrefixSpace bool   `json:"add_prefix_space"`
		}
		if err := strict(raw, &c); err != nil {
			return a, err
		}
		return affix{before: []int32{c.Cls.id}, after: []int32{c.Sep.id}}, nil
	case "TemplateProcessing":
		return parseTemplateProcessing(raw)
	}
	return a, unsupported(kind, "BertProcessing", "ByteLevel", "RobertaProcessing", "Sequence",
		"TemplateProcessing")
}

// ends is the pair ["[SEP]", 102].
type ends struct {
	token string
	id    int32
}

func (e *ends) UnmarshalJSON(data []byte) error {
	var fields []json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	if len(fields) != 2 {
		return fmt.Errorf("%s: want a pair of token and id", data)
	}
	if err := json.Unmarshal(fields[0], &e.token); err != nil {
		return err
	}
	return json.Unmarshal(fields[1], &e.id)
}

func parseTemplateProcessing(raw json.RawMessage) (affix, error) {
	type part struct {
		ID     string `json:"id"`
		TypeID int    `json:"type_id"`
	}
	var a affix
	var c struct {
		Type   string `json:"type"`
		Single []struct {
			SpecialToken *part
			Sequence     *part
		} `json:"single"`
		Pair          json.RawMessage `json:"pair"`
		SpecialTokens map[string]struct {
			ID     string   `json:"id"`
			IDs    []int32  `json:"ids"`
			Tokens []string `json:"tokens"`
		} `json:"special_tokens"`
	}
	if err := strict(raw, &c); err != nil {
		return a, err
	}
	to, texts := &a.before, 0
	for _, p := range c.Single {
		switch {
		case p.SpecialToken != nil:
			special, ok := c.SpecialTokens[p.SpecialToken.ID]
			if !ok {
				return a, fmt.Errorf("TemplateProcessing: %q is not among its special_tokens",
					p.SpecialToken.ID)
			}
			*to = append(*to, special.IDs...)
		case p.Sequence != nil && p.Sequence.ID == "A":
			to = &a.after
			texts++
		default:
			return a, fmt.Errorf("TemplateProcessing: single holds a part that is neither a special token " +
				"nor text A")
		}
	}
	if texts != 1 {
		return a, fmt.Errorf("TemplateProcessing: single holds text A %d times, want once", texts)
	}
	return a, nil
}
