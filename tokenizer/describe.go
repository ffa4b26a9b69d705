package tokenizer

import "maps"

// Kind names the model: "byte-level BPE", "BPE with byte fallback", "BPE" or "Unigram".
func (t *Tokenizer) Kind() string {
	m := t.model
	if letters, ok := m.(byteLetters); ok {
		m = letters.model
	}
	b, ok := m.(*bpe)
	switch {
	case !ok:
		return "Unigram"
	case b.plain || m != t.model:
		return "byte-level BPE"
	case b.byteFallback:
		return "BPE with byte fallback"
	}
	return "BPE"
}

// ChatTemplate returns the source of the model's chat template: chat_template.jinja, else
// chat_template of tokenizer_config.json (of several, the one named default), else "".
func (t *Tokenizer) ChatTemplate() string { return t.config.chatTemplate }

// NamedSpecials returns the texts of the special tokens that the model's files name, by name:
// "bos_token", "eos_token", and others.
func (t *Tokenizer) NamedSpecials() map[string]string { return maps.Clone(t.config.special) }

// TemplateFile names the file with the model's chat template, or returns "".
func (t *Tokenizer) TemplateFile() string {
	if t.config.chatTemplate == "" {
		return ""
	}
	// in parseConfig's order of precedence
	for _, name := range []string{templateName, "chat_template.json"} {
		if _, ok := t.files[name]; ok {
			return name
		}
	}
	return configName
}
