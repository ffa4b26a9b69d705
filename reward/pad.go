package reward

import (
	"encoding/json"
	"fmt"

	"haf/tokenizer"
)

// padToken chooses the padding token of a saved model: the tokenizer's own, unless that is the end token. transformers
// reads the reward at the last token that is not padding, so a model whose padding is the end token would be read one
// token early; then it is the unknown token, else the beginning one: neither ends a response.
func padToken(tok *tokenizer.Tokenizer) (token string, id int32, err error) {
	_, end, _ := tok.Special("eos_token")
	for _, name := range []string{"pad_token", "unk_token", "bos_token"} {
		if token, id, ok := tok.Special(name); ok && id != end {
			return token, id, nil
		}
	}
	return "", 0, fmt.Errorf("the tokenizer has no padding, unknown or beginning token apart from its end token: give tokenizer_config.json a pad_token")
}

// withPadToken sets pad_token in a tokenizer_config.json or special_tokens_map.json; the other keys stay.
func withPadToken(data []byte, token string) ([]byte, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	value, err := json.Marshal(token)
	if err != nil {
		return nil, err
	}
	keys["pad_token"] = value
	return json.MarshalIndent(keys, "", "  ")
}
