package tokenizer

import (
	"encoding/json"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"haf/internal/wholefile"
)

// bpe is byte-pair encoding: it cuts a piece into characters, then joins neighbours. It applies the
// merge that is earliest in the list first, and of equal ones the leftmost.
type bpe struct {
	vocab        map[string]int32
	merges       map[pair]merge
	unknown      int32 // -1: drop unknown characters
	fuseUnknown  bool
	byteFallback bool
	ignoreMerges bool // a piece that is a token is that token
	prefix       string
	suffix       string

	// For pieces of plain bytes: the id of each byte and, for ignoreMerges, of each run of bytes.
	plain     bool
	byteID    [256]int32
	plainText map[string]int32

	// The characters, among tokens, that no token has before a ▁ inside it, so that no merge joins
	// them. nil: do not cut pieces there.
	endsWord map[rune]bool

	seed  maphash.Seed
	cache []atomic.Pointer[cached]
	pool  sync.Pool // *scratch
}

type pair struct{ left, right int32 }

type merge struct{ rank, id int32 }

// cached is a cached piece. Slots are overwritten, never grown, and read without a lock.
type cached struct {
	piece string
	ids   []int32
}

const (
	cacheSlots = 1 << 15
	cacheBytes = 64 // longer pieces rarely recur
)

// parseModel reads model. bytesLast: pieces arrive as plain bytes for a byte-level vocabulary.
func parseModel(raw json.RawMessage, bytesLast bool) (model, error) {
	var c struct {
		Type   string          `json:"type"`
		Merges json.RawMessage `json:"merges"`
	}
	if err := wholefile.Unmarshal(raw, &c); err != nil {
		return nil, err
	}
	if c.Type == "" && c.Merges != nil {
		c.Type = "BPE" // absent in files of the first versions
	}
	var m model
	var err error
	switch c.Type {
	case "BPE":
		b, failed := parseBPE(raw, bytesLast)
		if failed == nil && bytesLast && !b.plain {
			return byteLetters{b}, nil
		}
		m, err = b, failed
	case "Unigram":
		m, err = parseUnigram(raw)
		if err == nil && bytesLast {
			m = byteLetters{m}
		}
	default:
		return nil, unsupported(c.Type, "BPE", "Unigram")
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// byteLetters gives a model that works on characters the pieces of a ByteLevel splitter.
type byteLetters struct{ model }

func (m byteLetters) encode(ids []int32, piece string) []int32 {
	return m.model.encode(ids, toByteLevel(piece))
}

func parseBPE(raw json.RawMessage, bytesLast bool) (*bpe, error) {
	var c struct {
		Type         string           `json:"type"`
		Dropout      *float64         `json:"dropout"`
		Unknown      *string          `json:"unk_token"`
		Prefix       *string          `json:"continuing_subword_prefix"`
		Suffix       *string          `json:"end_of_word_suffix"`
		FuseUnknown  bool             `json:"fuse_unk"`
		ByteFallback bool             `json:"byte_fallback"`
		IgnoreMerges bool             `json:"ignore_merges"`
		Vocab        map[string]int32 `json:"vocab"`
		Merges       []mergePair      `json:"merges"`
	}
	if err := strict(raw, &c); err != nil {
		return nil, err
	}
	if c.Dropout != nil && *c.Dropout != 0 {
		return nil, fmt.Errorf("BPE: dropout %v is not supported: ids would be random; set it to null",
			*c.Dropout)
	}
	b := &bpe{
		vocab: c.Vocab, merges: make(map[pair]merge, len(c.Merges)), unknown: -1,
		fuseUnknown:  c.FuseUnknown,
		byteFallback: c.ByteFallback, ignoreMerges: c.IgnoreMerges, seed: maphash.MakeSeed(),
		cache: make([]atomic.Pointer[cached], cacheSlots),
	}
	if c.Prefix != nil {
		b.prefix = *c.Prefix
	}
	if c.Suffix != nil {
		b.suffix = *c.Suffix
	}
	for rank, m := range c.Merges {
		left, okLeft := b.vocab[m.left]
		right, okRight := b.vocab[m.right]
		if !okLeft || !okRight || len(m.right) < len(b.prefix) {
			return nil, fmt.Errorf("BPE: merge %d joins %q and %q, which are not both in the vocabulary",
				rank, m.left, m.right)
		}
		joined, ok := b.vocab[m.left+m.right[len(b.prefix):]]
		if !ok {
			return nil, fmt.Errorf("BPE: merge %d makes %q, which is not in the vocabulary", rank,
				m.left+m.right[len(b.prefix):])
		}
		b.merges[pair{left, right}] = merge{int32(rank), joined}
	}
	b.pool.New = func() any { return new(scratch) }
	b.plain = bytesLast && b.prefix == "" && b.suffix == "" && b.mapBytes()
	b.findWordEnds()
	if c.Unknown != nil {
		id, ok := b.vocab[*c.Unknown]
		if !ok && !b.plain {
			return nil, fmt.Errorf("BPE: unk_token %q is not in the vocabulary", *c.Unknown)
		}
		if ok {
			b.unknown = id
		}
	}
	return b, nil
}

// mark is sentencepiece's space. Models converted from sentencepiece have no splitter: their pieces
// are whole texts.
const mark = "▁"

// findWordEnds fills endsWord.
func (b *bpe) findWordEnds() {
	if _, ok := b.vocab[mark]; !ok || b.plain || b.prefix != "" || b.suffix != "" || b.ignoreMerges {
		return
	}
	b.endsWord = map[rune]bool{}
	for token := range b.vocab {
		if r, n := utf8.DecodeRuneInString(token); n == len(token) && r != utf8.RuneError {
			b.endsWord[r] = true
		}
	}
	for token := range b.vocab {
		for at := 0; ; {
			i := strings.Index(token[at:], mark)
			if i < 0 {
				break
			}
			if at += i; at > 0 {
				r, _ := utf8.DecodeLastRuneInString(token[:at])
				delete(b.endsWord, r)
			}
			at += len(mark)
		}
	}
}

// mapBytes fills the tables for plain bytes. It returns false if a byte has no token.
func (b *bpe) mapBytes() bool {
	for i := range b.byteID {
		id, ok := b.vocab[string(byteRune[i])]
		if !ok {
			return false
		}
		b.byteID[i] = id
	}
	if b.ignoreMerges {
		b.plainText = make(map[string]int32, len(b.vocab))
		for token, id := range b.vocab {
			if text, ok := fromByteLevel(token); ok {
				b.plainText[text] = id
			}
		}
	}
	return true
}

// mergePair is ["a", "b"] or "a b".
type mergePair struct{ left, right string }

func (m *mergePair) UnmarshalJSON(data []byte) error {
	var text string
	if len(data) > 0 && data[0] == '"' {
		if err := wholefile.Unmarshal(data, &text); err != nil {
			return err
		}
		left, right, ok := strings.Cut(text, " ")
		if !ok || strings.Contains(right, " ") {
			return fmt.Errorf("merge %q is not two tokens with a space between", text)
		}
		m.left, m.right = left, right
		return nil
	}
	var parts []string
	if err := wholefile.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) != 2 {
		return fmt.Errorf("merge %s is not two tokens", data)
	}
	m.left, m.right = parts[0], parts[1]
	return nil
}

func (b *bpe) id(token string) (int32, bool) {
	id, ok := b.vocab[token]
	return id, ok
}

func (b *bpe) size() int { return len(b.vocab) }

func (b *bpe) vocabulary(yield func(string, int32)) {
	for token, id := range b.vocab {
		yield(token, id)
	}
}

func (b *bpe) encode(ids []int32, piece string) []int32 {
	// Cut where no merge crosses: words recur and are cached, and the heap of a long text stays small.
	for at := 1; b.endsWord != nil && at < len(piece); {
		i := strings.Index(piece[at:], mark)
		if i < 0 {
			break
		}
		at += i
		if r, _ := utf8.DecodeLastRuneInString(piece[:at]); b.endsWord[r] {
			ids = b.word(ids, piece[:at])
			piece, at = piece[at:], 0
		}
		at += len(mark)
	}
	return b.word(ids, piece)
}

// word encodes a piece, or a part of one.
func (b *bpe) word(ids []int32, piece string) []int32 {
	if b.ignoreMerges {
		whole := b.vocab
		if b.plain {
			whole = b.plainText
		}
		if id, ok := whole[piece]; ok {
			return append(ids, id)
		}
	}
	if b.plain && len(piece) == 1 {
		return append(ids, b.byteID[piece[0]])
	}
	if len(piece) > cacheBytes {
		return b.merge(ids, piece)
	}
	slot := &b.cache[maphash.String(b.seed, piece)%cacheSlots]
	if c := slot.Load(); c != nil && c.piece == piece {
		return append(ids, c.ids...)
	}
	start := len(ids)
	ids = b.merge(ids, piece)
	// The clones keep neither the text nor the caller's ids in memory.
	slot.Store(&cached{strings.Clone(piece), append([]int32(nil), ids[start:]...)})
	return ids
}

// merge encodes a piece without the cache.
func (b *bpe) merge(ids []int32, piece string) []int32 {
	s := b.pool.Get().(*scratch)
	defer b.pool.Put(s)
	s.symbols = s.symbols[:0]
	if b.plain {
		for i := range len(piece) {
			s.add(b.byteID[piece[i]])
		}
	} else {
		b.characters(s, piece)
	}
	s.join(b.merges)
	for i := 0; i >= 0 && i < len(s.symbols); i = int(s.symbols[i].next) {
		ids = append(ids, s.symbols[i].id)
	}
	return ids
}

// characters cuts the piece into the ids of its characters. It writes unknown ones as bytes or as
// unk, or drops them.
func (b *bpe) characters(s *scratch, piece string) {
	pending := int32(-1) // an unk not yet written, to fuse it with following ones
	for i := 0; i < len(piece); {
		_, n := utf8.DecodeRuneInString(piece[i:])
		text := piece[i : i+n]
		if i > 0 && b.prefix != "" {
			text = b.prefix + text
		}
		i += n
		if i == len(piece) && b.suffix != "" {
			text += b.suffix
		}
		if id, ok := b.vocab[text]; ok {
			if pending >= 0 {
				s.add(pending)
				pending = -1
			}
			s.add(id)
			continue
		}
		if b.byteFallback {
			mark := len(s.symbols)
			if fallback(text, b.vocab, s.add) {
				continue
			}
			s.symbols = s.symbols[:mark]
		}
		if b.unknown >= 0 {
			if pending >= 0 && !b.fuseUnknown {
				s.add(pending)
			}
			pending = b.unknown
		}
	}
	if pending >= 0 {
		s.add(pending)
	}
}

// fallback calls add with the <0x..> tokens of the text's bytes. It returns false if one is
// missing.
func fallback(text string, vocab map[string]int32, add func(int32)) bool {
	for i := range len(text) {
		id, ok := vocab[byteToken(text[i])]
		if !ok {
			return false
		}
		add(id)
	}
	return true
}

func byteToken(b byte) string {
	const hex = "0123456789ABCDEF"
	return string([]byte{'<', '0', 'x', hex[b>>4], hex[b&15], '>'})
}
