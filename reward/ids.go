package reward

import (
	"fmt"
	"slices"

	"haf/encode"
)

// CheckIDs returns an error if a sequence holds a token beyond the rows of the embedding. A
// tokenizer may have such tokens, such as an added [PAD], as long as no text contains one.
func (m *Model) CheckIDs(groups []encode.Group) error {
	beyond := func(id int32) bool { return id < 0 || int(id) >= m.Config.Vocab }
	for i, g := range groups {
		parts := [][]int32{g.Prompt}
		for _, r := range g.Responses {
			parts = append(parts, r.Tokens)
		}
		for _, ids := range parts {
			at := slices.IndexFunc(ids, beyond)
			if at < 0 {
				continue
			}
			token := fmt.Sprintf("token %d", ids[at])
			if m.Tokenizer != nil {
				if text, ok := m.Tokenizer.Token(ids[at]); ok {
					token = fmt.Sprintf("token %q (id %d)", text, ids[at])
				}
			}
			return fmt.Errorf("reward: prompt %d: %s is in the text, but the embedding of %s has "+
				"rows for the ids 0 to %d: remove the token "+
				"from the text, or use the tokenizer that belongs to the model", i+1, token, m.Dir,
				m.Config.Vocab-1)
		}
	}
	return nil
}
