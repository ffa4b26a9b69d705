package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Class returns tokenizer_class of tokenizer_config.json, "" where it names none.
func (t *Tokenizer) Class() string {
	var config struct {
		Class string `json:"tokenizer_class"`
	}
	if json.Unmarshal(t.files[configName], &config) != nil {
		return ""
	}
	return config.Class
}

// Rebuilt returns a warning if transformers 5 would make other tokens of some texts. It builds the
// tokenizers of some classes from the class and ignores the pre-tokenizer and normalizer of
// tokenizer.json. haf follows the file, as transformers 4 does. modelType is that of config.json.
func (t *Tokenizer) Rebuilt(modelType string) string {
	var file struct {
		Normalizer   json.RawMessage `json:"normalizer"`
		PreTokenizer struct {
			Type string `json:"type"`
		} `json:"pre_tokenizer"`
	}
	if json.Unmarshal(t.files[tokenizerName], &file) != nil {
		return ""
	}
	plain := len(file.Normalizer) == 0 || string(file.Normalizer) == "null"
	class := strings.TrimSuffix(t.Class(), "Fast")
	if modelType == "qwen2" { // whatever class the files name
		class = "Qwen2Tokenizer"
	}
	remedy := "; \"tokenizer_class\": \"PreTrainedTokenizerFast\" in tokenizer_config.json makes it " +
		"follow the file"
	switch {
	case class == "GPT2Tokenizer" && (file.PreTokenizer.Type != "ByteLevel" || !plain):
	case class == "Qwen2Tokenizer" && (file.PreTokenizer.Type != "Sequence" ||
		!strings.Contains(string(file.Normalizer), `"NFC"`)):
		if modelType == "qwen2" {
			remedy = ""
		}
	default:
		return ""
	}
	return fmt.Sprintf("transformers 5 builds %s for this model and passes over a part of "+
		"tokenizer.json, which haf follows: its tokens and rewards of some texts differ%s", class, remedy)
}
