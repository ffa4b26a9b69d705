package tokenizer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Token types of a GGUF file.
const (
	ggufUnknown     = 2
	ggufControl     = 3
	ggufUserDefined = 4
	ggufUnused      = 5
)

// A ggufPre is the byte-level splitting named by tokenizer.ggml.pre, as components of
// tokenizer.json.
type ggufPre struct {
	normalizer, preTokenizer any
	ignoreMerges             bool
	addBOS                   bool // if tokenizer.ggml.add_bos_token is absent, as in llama.cpp
}

type jsonObject = map[string]any

func ggufByteLevel(regex bool) jsonObject {
	return jsonObject{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
		"use_regex": regex}
}

func ggufSequence(steps ...any) jsonObject {
	return jsonObject{"type": "Sequence", "pretokenizers": steps}
}

// ggufSplit returns the splitter of models with a pattern of their own. digits is the pattern for
// numbers.
func ggufSplit(digits string) jsonObject {
	pattern := `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|` + digits +
		`| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	split := jsonObject{"type": "Split", "pattern": jsonObject{"Regex": pattern},
		"behavior": "Isolated", "invert": false}
	return ggufSequence(split, ggufByteLevel(false))
}

// ggufPres lists the names whose tokenizer.json is known exactly: the published ones of GPT-2,
// StarCoder, SmolLM, Llama 3 and Qwen 2 and 3.
func ggufPres() map[string]ggufPre {
	gpt2 := ggufPre{preTokenizer: ggufByteLevel(true)}
	digits := ggufPre{
		preTokenizer: ggufSequence(jsonObject{"type": "Digits", "individual_digits": true},
			ggufByteLevel(true))}
	llama3 := ggufPre{preTokenizer: ggufSplit(`\p{N}{1,3}`), ignoreMerges: true, addBOS: true}
	qwen2 := ggufPre{preTokenizer: ggufSplit(`\p{N}`), normalizer: jsonObject{"type": "NFC"}}
	return map[string]ggufPre{
		"gpt-2": gpt2, "smollm": digits, "starcoder": digits,
		"llama-bpe": llama3, "llama3": llama3, "llama-v3": llama3, "qwen2": qwen2,
	}
}

// ggufVocabulary holds the tokens of a GGUF file.
type ggufVocabulary struct {
	tokens []string
	types  []int64 // nil: all normal
	scores []float32
	merges []string
	meta   map[string]any
}

// FromGGUF makes the tokenizer of a GGUF file from its metadata: values of type bool, int64,
// float32 and string, and slices of them, by key. [Tokenizer.Files] then has the equivalent
// tokenizer.json and tokenizer_config.json for transformers. It refuses a kind of tokenizer whose
// tokenizer.json is not known exactly.
func FromGGUF(metadata map[string]any) (*Tokenizer, error) {
	files, err := ggufFiles(metadata)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
	}
	t, err := build(files)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: GGUF: %w", err)
	}
	return t, nil
}

func ggufFiles(metadata map[string]any) (map[string][]byte, error) {
	v := &ggufVocabulary{meta: metadata}
	v.tokens, _ = metadata["tokenizer.ggml.tokens"].([]string)
	v.types, _ = metadata["tokenizer.ggml.token_type"].([]int64)
	v.scores, _ = metadata["tokenizer.ggml.scores"].([]float32)
	v.merges, _ = metadata["tokenizer.ggml.merges"].([]string)
	if len(v.tokens) == 0 {
		return nil, fmt.Errorf("no tokenizer.ggml.tokens: the file has no tokenizer")
	}
	if v.types != nil && len(v.types) != len(v.tokens) {
		return nil, fmt.Errorf("%d tokens, but %d token types", len(v.tokens), len(v.types))
	}
	file := jsonObject{"version": "1.0", "truncation": nil, "padding": nil, "added_tokens": v.added(),
		"post_processor": nil}
	var addBOS bool
	var err error
	switch kind, _ := metadata["tokenizer.ggml.model"].(string); kind {
	case "gpt2":
		addBOS, err = v.byteLevel(file)
	case "llama":
		addBOS, err = true, v.sentencePiece(file)
	default:
		err = fmt.Errorf("tokenizer.ggml.model %.40q is not read, only gpt2 and llama: use the model's "+
			"Hugging Face folder", kind)
	}
	if err != nil {
		return nil, err
	}
	v.flag("tokenizer.ggml.add_bos_token", &addBOS)
	addEOS := false
	v.flag("tokenizer.ggml.add_eos_token", &addEOS)
	if file["post_processor"], err = v.affix(addBOS, addEOS); err != nil {
		return nil, err
	}
	return v.files(file)
}

func (v *ggufVocabulary) flag(key string, to *bool) {
	if b, ok := v.meta[key].(bool); ok {
		*to = b
	}
}

func (v *ggufVocabulary) kind(id int) int64 {
	if v.types == nil {
		return 1
	}
	return v.types[id]
}

// added lists the tokens that are recognized whole in the text.
func (v *ggufVocabulary) added() []jsonObject {
	out := []jsonObject{}
	for id, token := range v.tokens {
		if kind := v.kind(id); token != "" && (kind == ggufControl || kind == ggufUserDefined ||
			kind == ggufUnknown) {
			out = append(out, jsonObject{
				"id": id, "content": token, "single_word": false, "lstrip": false, "rstrip": false,
				"normalized": false, "special": kind != ggufUserDefined,
			})
		}
	}
	return out
}

// vocabulary maps the tokens to their ids. It leaves out tokens that only pad the embedding: unused
// ones called [PAD…] that no merge makes.
func (v *ggufVocabulary) vocabulary() (map[string]int, error) {
	vocab := make(map[string]int, len(v.tokens))
	for id, token := range v.tokens {
		if v.kind(id) == ggufUnused && strings.HasPrefix(token, "[PAD") {
			continue
		}
		if old, twice := vocab[token]; twice {
			return nil, fmt.Errorf("ids %d and %d are both the token %q", old, id, token)
		}
		vocab[token] = id
	}
	return vocab, nil
}

func (v *ggufVocabulary) byteLevel(file jsonObject) (addBOS bool, err error) {
	name, _ := v.meta["tokenizer.ggml.pre"].(string)
	pres := ggufPres()
	pre, ok := pres[name]
	if !ok {
		return false, fmt.Errorf("the pre-tokenizer %.40q (tokenizer.ggml.pre) is not known exactly; "+
			"known are %s: use the model's Hugging Face folder", name,
			strings.Join(slices.Sorted(maps.Keys(pres)), ", "))
	}
	if prefix, _ := v.meta["tokenizer.ggml.add_space_prefix"].(bool); prefix {
		return false, fmt.Errorf("tokenizer.ggml.add_space_prefix with a byte-level model is not read: " +
			"use the model's Hugging Face folder")
	}
	if len(v.merges) == 0 {
		return false, fmt.Errorf("no tokenizer.ggml.merges")
	}
	vocab, err := v.vocabulary()
	if err != nil {
		return false, err
	}
	file["normalizer"], file["pre_tokenizer"] = pre.normalizer, pre.preTokenizer
	file["decoder"] = jsonObject{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true,
		"use_regex": true}
	file["model"] = jsonObject{
		"type": "BPE", "dropout": nil, "unk_token": nil, "continuing_subword_prefix": nil,
		"end_of_word_suffix": nil, "fuse_unk": false,
		"byte_fallback": false, "ignore_merges": pre.ignoreMerges, "vocab": vocab, "merges": v.merges,
	}
	return pre.addBOS, nil
}

// sentencePiece writes SentencePiece's BPE as transformers converts it. The merges are all splits
// of a token into two tokens, by falling score; unknown characters become bytes.
func (v *ggufVocabulary) sentencePiece(file jsonObject) error {
	if len(v.scores) != len(v.tokens) {
		return fmt.Errorf("%d tokens, but %d tokenizer.ggml.scores", len(v.tokens), len(v.scores))
	}
	vocab, err := v.vocabulary()
	if err != nil {
		return err
	}
	const space = "▁"
	steps := []any{}
	prefix := true
	if v.flag("tokenizer.ggml.add_space_prefix", &prefix); prefix {
		steps = append(steps, jsonObject{"type": "Prepend", "prepend": space})
	}
	steps = append(steps, jsonObject{"type": "Replace", "pattern": jsonObject{"String": " "},
		"content": space})
	decoders := []any{
		jsonObject{"type": "Replace", "pattern": jsonObject{"String": space}, "content": " "},
		jsonObject{"type": "ByteFallback"}, jsonObject{"type": "Fuse"},
	}
	if prefix {
		decoders = append(decoders, jsonObject{"type": "Strip", "content": " ", "start": 1, "stop": 0})
	}
	var unknown any
	if token, ok := v.special("unknown"); ok {
		unknown = token
	} else if id := slices.Index(v.types, ggufUnknown); id >= 0 {
		unknown = v.tokens[id]
	}
	file["normalizer"] = jsonObject{"type": "Sequence", "normalizers": steps}
	file["pre_tokenizer"] = nil
	file["decoder"] = jsonObject{"type": "Sequence", "decoders": decoders}
	file["model"] = jsonObject{
		"type": "BPE", "dropout": nil, "unk_token": unknown, "continuing_subword_prefix": nil,
		"end_of_word_suffix": nil, "fuse_unk": true,
		"byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": v.mergesByScore(vocab),
	}
	return nil
}

// mergesByScore derives the merges; control tokens and bytes are never merged.
func (v *ggufVocabulary) mergesByScore(vocab map[string]int) [][2]string {
	type candidate struct {
		left, right string
		score       float32
		l, r        int // ids
	}
	mergeable := func(token string) (int, bool) {
		id, ok := vocab[token]
		return id, ok && (v.kind(id) == 1 || v.kind(id) == ggufUserDefined)
	}
	var found []candidate
	for id, token := range v.tokens {
		if _, ok := mergeable(token); !ok {
			continue
		}
		for at := range token {
			if at == 0 {
				continue
			}
			l, okLeft := mergeable(token[:at])
			r, okRight := mergeable(token[at:])
			if okLeft && okRight {
				found = append(found, candidate{token[:at], token[at:], v.scores[id], l, r})
			}
		}
	}
	// For equal scores transformers prefers the longer left half, then the longer right half, then the
	// order of the ids.
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(b.score, a.score), cmp.Compare(utf8.RuneCountInString(b.left),
				utf8.RuneCountInString(a.left)),
			cmp.Compare(utf8.RuneCountInString(b.right), utf8.RuneCountInString(a.right)),
			cmp.Compare(vocab[a.left+a.right], vocab[b.left+b.right]), cmp.Compare(a.l, b.l),
			cmp.Compare(a.r, b.r))
	})
	merges := make([][2]string, len(found))
	for i, c := range found {
		merges[i] = [2]string{c.left, c.right}
	}
	return merges
}

// special returns the token that the metadata name "bos", "eos", "unknown" or "padding".
func (v *ggufVocabulary) special(name string) (string, bool) {
	id, ok := v.meta["tokenizer.ggml."+name+"_token_id"].(int64)
	if !ok || id < 0 || id >= int64(len(v.tokens)) {
		return "", false
	}
	return v.tokens[id], true
}

// affix returns the post-processor that adds the wanted tokens around every text, or nil without
// any.
func (v *ggufVocabulary) affix(addBOS, addEOS bool) (any, error) {
	specials := jsonObject{}
	single, pair := []any{}, []any{}
	add := func(name string) error {
		token, ok := v.special(name)
		if !ok {
			return fmt.Errorf("tokenizer.ggml.add_%s_token is set, but no token has that part", name)
		}
		specials[token] = jsonObject{"id": token,
			"ids": []any{v.meta["tokenizer.ggml."+name+"_token_id"]}, "tokens": []string{token}}
		single = append(single, jsonObject{"SpecialToken": jsonObject{"id": token, "type_id": 0}})
		return nil
	}
	if _, named := v.special("bos"); addBOS && named {
		if err := add("bos"); err != nil {
			return nil, err
		}
	}
	single = append(single, jsonObject{"Sequence": jsonObject{"id": "A", "type_id": 0}})
	if addEOS {
		if err := add("eos"); err != nil {
			return nil, err
		}
	}
	if len(specials) == 0 {
		return nil, nil
	}
	pair = append(pair, single...)
	for _, piece := range single { // the second text is marked as in a pair of one template
		piece := piece.(jsonObject)
		if inner, ok := piece["SpecialToken"].(jsonObject); ok {
			pair = append(pair, jsonObject{"SpecialToken": jsonObject{"id": inner["id"], "type_id": 1}})
		} else {
			pair = append(pair, jsonObject{"Sequence": jsonObject{"id": "B", "type_id": 1}})
		}
	}
	return jsonObject{"type": "TemplateProcessing", "single": single, "pair": pair,
		"special_tokens": specials}, nil
}

// files renders tokenizer.json and tokenizer_config.json.
func (v *ggufVocabulary) files(file jsonObject) (map[string][]byte, error) {
	data, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	config := jsonObject{"tokenizer_class": "PreTrainedTokenizerFast",
		"clean_up_tokenization_spaces": false}
	for part, key := range map[string]string{"bos": "bos_token", "eos": "eos_token",
		"unknown": "unk_token", "padding": "pad_token"} {
		if token, ok := v.special(part); ok {
			config[key] = token
		}
	}
	if source, ok := v.meta["tokenizer.chat_template"].(string); ok && source != "" {
		config["chat_template"] = source
	}
	side, err := json.MarshalIndent(config, "", "  ")
	if err != nil {
		return nil, err
	}
	return map[string][]byte{tokenizerName: data, configName: side}, nil
}
