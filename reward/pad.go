package reward

import (
	"encoding/json"

	"haf/tokenizer"
)

// padToken chooses the padding token of a saved model: the tokenizer's own, unless that is the end token. transformers
// reads the reward at the last token that is not padding, so a model whose padding is the end token would be read one
// token early; then it is the unknown token, else the beginning one: neither ends a response. Where all of them are the
// end token, as in GPT-2 and Pythia, there is none (id −1): transformers then reads the last token of a sequence run
// alone, and refuses a batch.
func padToken(tok *tokenizer.Tokenizer) (token string, id int32) {
	_, end, _ := tok.Special("eos_token")
	for _, name := range []string{"pad_token", "unk_token", "bos_token"} {
		if token, id, ok := tok.Special(name); ok && id != end {
			return token, id
		}
	}
	return "", -1
}

// withPadToken sets pad_token in a tokenizer_config.json or special_tokens_map.json, or takes it out where there is none; the
// other keys stay.
func withPadToken(data []byte, token string) ([]byte, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	if token == "" {
		delete(keys, "pad_token")
		return json.MarshalIndent(keys, "", "  ")
	}
	value, err := json.Marshal(token)
	if err != nil {
		return nil, err
	}
	keys["pad_token"] = value
	return json.MarshalIndent(keys, "", "  ")
}
