package tokenizer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"haf/internal/wholefile"
)

// Tokenizer is a tokenizer.json with the files beside it. It is immutable after loading and safe
// for concurrent use.
type Tokenizer struct {
	added     *addedVocabulary
	normalize normalizer // nil: no normalization
	split     splitter   // nil: text is one piece
	model     model
	post      affix
	decode    decoder // nil: join tokens with spaces
	tokens    []vocabEntry
	config    settings
	files     map[string][]byte
	hash      string
}

// A vocabEntry is the token of an id.
type vocabEntry struct {
	content string
	known   bool // false: no token has this id
	special bool
}

// A model turns a piece, the output of the splitters, into ids.
type model interface {
	// encode appends the ids of the piece to ids.
	encode(ids []int32, piece string) []int32
	id(token string) (int32, bool)
	// vocabulary calls yield for every token of the model.
	vocabulary(yield func(token string, id int32))
	// size is the number of distinct tokens of the model.
	size() int
}

// tokenizerFile mirrors tokenizer.json.
type tokenizerFile struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
	Model         json.RawMessage `json:"model"`
}

// The files of a model folder that belong to its tokenizer. Only tokenizer.json is needed.
const tokenizerName = "tokenizer.json"

var sideFiles = []string{configName, specialName, templateName, "added_tokens.json",
	"chat_template.json"}

// Load reads the tokenizer of a Hugging Face model folder: tokenizer.json and, if they exist,
// tokenizer_config.json, special_tokens_map.json and chat_template.jinja. Like transformers, it
// adds the tokens that only tokenizer_config.json declares, and lets add_bos_token and
// add_eos_token in that file override the post-processor.
func Load(dir string) (*Tokenizer, error) {
	data, err := wholefile.Read(filepath.Join(dir, tokenizerName), wholefile.Vocabulary)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer: %s: no %s: want a model in the Hugging Face layout with a "+
			"fast tokenizer: %w", dir, tokenizerName, err)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	files := map[string][]byte{tokenizerName: data}
	for _, name := range sideFiles {
		data, err := wholefile.Read(filepath.Join(dir, name), wholefile.Vocabulary)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
		files[name] = data
	}
	t, err := build(files)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", dir, err)
	}
	return t, nil
}

// Parse reads a tokenizer.json alone, without named special tokens or a chat template.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) {
	t, err := build(map[string][]byte{tokenizerName: bytes.Clone(tokenizerJSON)})
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func build(files map[string][]byte) (*Tokenizer, error) {
	data := files[tokenizerName]
	var file tokenizerFile
	if err := wholefile.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerName, err)
	}
	t := &Tokenizer{files: files}
	var err error
	if t.config, err = parseConfig(files); err != nil {
		return nil, err
	}
	for name, raw := range map[string]json.RawMessage{"normalizer": file.Normalizer,
		"pre_tokenizer": file.PreTokenizer, "post_processor": file.PostProcessor,
		"decoder": file.Decoder} {
		if depth(raw) > maxNesting {
			return nil, fmt.Errorf("%s: %s: nests deeper than %d", tokenizerName, name, maxNesting)
		}
	}
	if t.normalize, err = parseNormalizer(file.Normalizer); err != nil {
		return nil, fmt.Errorf("%s: normalizer: %w", tokenizerName, err)
	}
	var bytesLast bool
	if t.split, bytesLast, err = parseSplitter(file.PreTokenizer); err != nil {
		return nil, fmt.Errorf("%s: pre_tokenizer: %w", tokenizerName, err)
	}
	if t.model, err = parseModel(file.Model, bytesLast); err != nil {
		return nil, fmt.Errorf("%s: model: %w", tokenizerName, err)
	}
	tokens := t.config.addTo(file.AddedTokens, t.model)
	if t.added, err = newAddedVocabulary(tokens, t.model, t.normalize); err != nil {
		return nil, fmt.Errorf("%s: added_tokens: %w", tokenizerName, err)
	}
	if t.post, err = parsePostProcessor(file.PostProcessor); err != nil {
		return nil, fmt.Errorf("%s: post_processor: %w", tokenizerName, err)
	}
	if t.decode, err = parseDecoder(file.Decoder); err != nil {
		return nil, fmt.Errorf("%s: decoder: %w", tokenizerName, err)
	}
	if err := t.index(); err != nil {
		return nil, fmt.Errorf("%s: %w", tokenizerName, err)
	}
	filePost := t.post
	if err := t.affixFromConfig(); err != nil {
		return nil, fmt.Errorf("%s: %w", configName, err)
	}
	for _, id := range append(append([]int32{}, t.post.before...), t.post.after...) {
		if _, ok := t.Token(id); !ok {
			return nil, fmt.Errorf("%s: post_processor: id %d is no token's", tokenizerName, id)
		}
	}
	sum := sha256.New()
	sum.Write(data)
	if !slices.Equal(tokens, file.AddedTokens) || !filePost.equal(t.post) {
		fmt.Fprintf(sum, "%v %v", tokens, t.post)
	}
	t.hash = hex.EncodeToString(sum.Sum(nil))
	return t, nil
}

// maxNesting limits the nesting of lists and objects in a part of tokenizer.json, because a
// Sequence is parsed again at each level.
const maxNesting = 64

// depth is the nesting depth of lists and objects in valid JSON.
func depth(raw []byte) (deepest int) {
	level, quoted := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			level++
			deepest = max(deepest, level)
		case c == ']' || c == '}':
			level--
		}
	}
	return deepest
}

// maxID limits the ids, so that a damaged file cannot request gigabytes. Published vocabularies
// stay below 300,000.
const maxID = 1<<22 - 1

// index fills the table from id to token. An added token overrides the model's token of the same
// id.
func (t *Tokenizer) index() error {
	var err error
	put := func(token string, id int32, special, override bool) {
		if id < 0 || id > maxID {
			err = fmt.Errorf("token %q: id %d is not between 0 and %d", token, id, maxID)
			return
		}
		if int(id) >= len(t.tokens) {
			t.tokens = append(t.tokens, make([]vocabEntry, int(id)+1-len(t.tokens))...)
		}
		if old := t.tokens[id]; old.known && !override {
			err = fmt.Errorf("id %d is given to both %q and %q", id, old.content, token)
			return
		}
		t.tokens[id] = vocabEntry{content: token, known: true, special: special}
	}
	t.model.vocabulary(func(token string, id int32) { put(token, id, false, false) })
	for _, a := range t.added.tokens {
		put(a.decoded, a.ID, a.Special, true)
	}
	return err
}

// affixFromConfig applies add_bos_token and add_eos_token if tokenizer_config.json states either.
func (t *Tokenizer) affixFromConfig() error {
	c := t.config
	if c.AddBOS == nil && c.AddEOS == nil {
		return nil
	}
	var post affix
	for _, end := range []struct {
		want *bool
		name string
		ids  *[]int32
	}{{c.AddBOS, "bos_token", &post.before}, {c.AddEOS, "eos_token", &post.after}} {
		if end.want == nil || !*end.want || c.special[end.name] == "" {
			continue // as in transformers, if the token has no name
		}
		_, id, ok := t.Special(end.name)
		if !ok {
			return fmt.Errorf("%s %q is to be added to every text but has no id", end.name,
				c.special[end.name])
		}
		*end.ids = []int32{id}
	}
	t.post = post
	return nil
}

// TryEncode is [Tokenizer.Encode], but returns an error if a pattern of the tokenizer takes too
// long.
func (t *Tokenizer) TryEncode(text string, special bool) (ids []int32, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *slowPattern:
			err = p
		default:
			panic(p)
		}
	}()
	return t.Encode(text, special), nil
}

// Encode returns the ids of the text. With special it adds the tokens that the post-processor puts
// around a text. It recognizes special tokens written in the text either way. It passes bytes that
// are not UTF-8 unchanged to a byte-level model. It panics if a pattern takes too long: use
// [Tokenizer.TryEncode] for texts of users.
func (t *Tokenizer) Encode(text string, special bool) []int32 {
	ids := make([]int32, 0, len(text)/3+4)
	if special {
		ids = append(ids, t.post.before...)
	}
	t.parts(text, func(id int32) { ids = append(ids, id) }, func(part string, start bool) {
		if t.split == nil {
			ids = t.model.encode(ids, part)
			return
		}
		t.split.split(piece{part, start}, func(p piece) {
			if p.text != "" {
				ids = t.model.encode(ids, p.text)
			}
		})
	})
	if special {
		ids = append(ids, t.post.after...)
	}
	return ids
}

// parts cuts the added tokens out of a text and calls, in order, added with the id of each and rest
// with the normalized text between them. start is true at the beginning of the text.
func (t *Tokenizer) parts(text string, added func(id int32), rest func(part string, start bool)) {
	first := true
	t.added.raw.split(text, func(part string, id int32) {
		start := first
		first = false
		if id >= 0 {
			added(id)
			return
		}
		if t.normalize != nil {
			part = t.normalize(part)
		}
		t.added.normalized.split(part, func(part string, id int32) {
			if id >= 0 {
				added(id)
			} else {
				rest(part, start)
			}
			start = false
		})
	})
}

// SpecialIn returns the special tokens, as text, that Encode recognizes in the text, in order.
func (t *Tokenizer) SpecialIn(text string) []string {
	var found []string
	t.parts(text, func(id int32) {
		if e := t.tokens[id]; e.special {
			token, _ := t.Token(id)
			found = append(found, token)
		}
	}, func(string, bool) {})
	return found
}

// Decode returns the text of the ids. It leaves out unknown ids and, with skipSpecial, special
// tokens. Bytes that are not UTF-8, such as those of a sequence cut inside a character, become
// U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	tokens := make([]string, 0, len(ids))
	for _, id := range ids {
		if id < 0 || int(id) >= len(t.tokens) {
			continue
		}
		if e := t.tokens[id]; e.known && !(skipSpecial && e.special) {
			tokens = append(tokens, e.content)
		}
	}
	if t.decode == nil {
		return strings.Join(tokens, " ")
	}
	return strings.Join(t.decode(tokens), "")
}

// ID returns the id of a token as the vocabulary writes it (in a byte-level one "Ġthe", not "
// the").
func (t *Tokenizer) ID(token string) (int32, bool) {
	if id, ok := t.added.ids[token]; ok {
		return id, true
	}
	return t.model.id(token)
}

// Token returns the token of an id as the vocabulary writes it. An added token that is matched in
// normalized text has its normalized form.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if id < 0 || int(id) >= len(t.tokens) {
		return "", false
	}
	return t.tokens[id].content, t.tokens[id].known
}

// Size is the largest id + 1. An embedding may have more rows.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Hash is the hexadecimal SHA-256 of tokenizer.json and of the effective settings in the files
// beside it. It changes whenever ids could change.
func (t *Tokenizer) Hash() string { return t.hash }

// Special returns the special token that the model's files give this name ("bos_token",
// "eos_token", "pad_token", "unk_token", …). ok is false if they name none or the vocabulary lacks
// it.
func (t *Tokenizer) Special(name string) (token string, id int32, ok bool) {
	token, named := t.config.special[name]
	if !named {
		return "", 0, false
	}
	id, ok = t.ID(token)
	return token, id, ok
}

// Files returns the raw bytes of the tokenizer's files by name, so that a saved model carries them
// unchanged. The caller owns the map, but must not change the bytes.
func (t *Tokenizer) Files() map[string][]byte { return maps.Clone(t.files) }
