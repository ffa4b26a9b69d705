package tokenizer

import (
	"encoding/json"
	"fmt"
	"math"
	"unicode/utf8"
)

// unigram cuts a piece into the tokens with the highest total score (Viterbi).
type unigram struct {
	tokens       []scored
	vocab        map[string]int32 // of equal tokens, the last
	trie         []byteNode
	unknown      int32
	unknownScore float64
	byteFallback bool
}

type scored struct {
	token string
	score float64
}

type byteNode struct {
	children map[byte]int32
	id       int32 // -1: no token ends here
}

// unknownPenalty is subtracted from the lowest token score to give the score of an unknown
// character.
const unknownPenalty = 10

func parseUnigram(raw json.RawMessage) (*unigram, error) {
	var c struct {
		Type         string   `json:"type"`
		Unknown      *int32   `json:"unk_id"`
		Vocab        []scored `json:"vocab"`
		ByteFallback bool     `json:"byte_fallback"`
	}
	if err := strict(raw, &c); err != nil {
		return nil, err
	}
	if c.Unknown == nil || *c.Unknown < 0 || int(*c.Unknown) >= len(c.Vocab) {
		return nil, fmt.Errorf("component Unigram: unk_id is missing or outside the vocabulary of %d: "+
			"want the index of its unknown token", len(c.Vocab))
	}
	u := &unigram{
		tokens: c.Vocab, vocab: make(map[string]int32, len(c.Vocab)), trie: []byteNode{{id: -1}},
		unknown: *c.Unknown, byteFallback: c.ByteFallback,
	}
	lowest := math.Inf(1)
	for i, t := range c.Vocab {
		lowest = min(lowest, t.score)
		u.vocab[t.token] = int32(i)
		if t.token == "" {
			continue
		}
		at := int32(0)
		for k := range len(t.token) {
			next, ok := u.trie[at].children[t.token[k]]
			if !ok {
				next = int32(len(u.trie))
				u.trie = append(u.trie, byteNode{id: -1})
				if u.trie[at].children == nil {
					u.trie[at].children = map[byte]int32{}
				}
				u.trie[at].children[t.token[k]] = next
			}
			at = next
		}
		u.trie[at].id = int32(i)
	}
	u.unknownScore = lowest - unknownPenalty
	return u, nil
}

// UnmarshalJSON reads the pair ["token", score].
func (s *scored) UnmarshalJSON(data []byte) error {
	var fields []json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	if len(fields) != 2 {
		return fmt.Errorf("vocabulary entry %s is not a token with its score", data)
	}
	if err := json.Unmarshal(fields[0], &s.token); err != nil {
		return err
	}
	return json.Unmarshal(fields[1], &s.score)
}

func (u *unigram) id(token string) (int32, bool) {
	id, ok := u.vocab[token]
	return id, ok
}

func (u *unigram) size() int { return len(u.tokens) }

func (u *unigram) vocabulary(yield func(string, int32)) {
	for i, t := range u.tokens {
		yield(t.token, int32(i))
	}
}

func (u *unigram) encode(ids []int32, piece string) []int32 {
	type node struct {
		score float64
		start int32 // of the best token that ends here; -1: none
		id    int32
	}
	best := make([]node, len(piece)+1)
	for i := range best {
		best[i].start = -1
	}
	for start := 0; start < len(piece); {
		_, n := utf8.DecodeRuneInString(piece[start:])
		reach := func(end int, score float64, id int32) {
			if to := &best[end]; to.start < 0 || score > to.score {
				*to = node{score, int32(start), id}
			}
		}
		here, single := best[start].score, false
		at := int32(0)
		for end := start; end < len(piece); {
			next, ok := u.trie[at].children[piece[end]]
			if !ok {
				break
			}
			at = next
			end++
			if id := u.trie[at].id; id >= 0 {
				reach(end, here+u.tokens[id].score, id)
				single = single || end-start == n
			}
		}
		if !single {
			reach(start+n, here+u.unknownScore, u.unknown)
		}
		start += n
	}
	// Backwards from the end; adjacent unknown characters form one token.
	type stretch struct{ start, end int }
	var path []stretch
	fusing := false
	for end := len(piece); end > 0; {
		n := best[end]
		isUnknown := n.id == u.unknown
		if isUnknown && fusing {
			path[len(path)-1].start = int(n.start)
		} else {
			path = append(path, stretch{int(n.start), end})
		}
		fusing = isUnknown
		end = int(n.start)
	}
	for i := len(path) - 1; i >= 0; i-- {
		text := piece[path[i].start:path[i].end]
		if id, ok := u.vocab[text]; ok {
			ids = append(ids, id)
			continue
		}
		if mark := len(ids); u.byteFallback {
			if fallback(text, u.vocab, func(id int32) { ids = append(ids, id) }) {
				continue
			}
			ids = ids[:mark]
		}
		ids = append(ids, u.unknown)
	}
	return ids
}
