package tokenizer

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An addedToken is an entry of added_tokens: text that is cut out before normalizing and splitting.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only without word characters on either side
	LStrip     bool   `json:"lstrip"`      // includes the white space before it
	RStrip     bool   `json:"rstrip"`      // includes the white space behind it
	Normalized bool   `json:"normalized"`  // matched, normalized, in the normalized text
	Special    bool   `json:"special"`     // Decode can leave it out

	// decoded is the text of the id: for a token matched in normalized text, its normalized content.
	decoded string
}

type addedVocabulary struct {
	tokens          []addedToken
	ids             map[string]int32
	raw, normalized matcher
}

// newAddedVocabulary checks the tokens' ids against those that the tokenizers library would assign,
// because the library ignores the declared ids.
func newAddedVocabulary(
	tokens []addedToken, m model, normalize normalizer,
) (*addedVocabulary, error) {
	v := &addedVocabulary{ids: make(map[string]int32, len(tokens))}
	next := int32(m.size())
	flags := make(map[string]addedToken, len(tokens))
	for _, a := range tokens {
		if a.Content == "" {
			continue // ignored by the library too
		}
		if old, ok := flags[a.Content]; ok {
			if old != a {
				return nil, fmt.Errorf("%q is declared twice, differently", a.Content)
			}
			continue
		}
		want, inModel := m.id(a.Content)
		if !inModel {
			want = next
		}
		if a.ID != want {
			return nil, fmt.Errorf("%q has id %d, but the tokenizers library would give it %d: the file "+
				"contradicts itself", a.Content, a.ID, want)
		}
		next = max(next, want+1)
		flags[a.Content] = a
		v.ids[a.Content] = a.ID
		v.tokens = append(v.tokens, a)
	}
	// Special tokens first: of two tokens that normalize to the same text, the first wins.
	for _, special := range []bool{true, false} {
		for i := range v.tokens {
			a := &v.tokens[i]
			if a.Special != special {
				continue
			}
			a.decoded = a.Content
			if !a.Normalized {
				v.raw.add(a.Content, *a)
				continue
			}
			if normalize != nil {
				a.decoded = normalize(a.Content)
			}
			if a.decoded == "" {
				return nil, fmt.Errorf("%q is looked for in normalized text but normalizes to nothing",
					a.Content)
			}
			v.normalized.add(a.decoded, *a)
		}
	}
	return v, nil
}

// A matcher finds the leftmost and then longest of its patterns, with a trie over bytes.
type matcher struct {
	nodes  []trieNode // nodes[0] is the root
	tokens []addedToken
	starts string // the distinct first bytes, to find the next candidate
}

type trieNode struct {
	children map[byte]int32
	token    int32 // index in tokens + 1; 0: no pattern ends here
}

func (m *matcher) add(pattern string, a addedToken) {
	if len(m.nodes) == 0 {
		m.nodes = make([]trieNode, 1)
	}
	if strings.IndexByte(m.starts, pattern[0]) < 0 {
		m.starts += pattern[:1]
	}
	at := int32(0)
	for i := range len(pattern) {
		next, ok := m.nodes[at].children[pattern[i]]
		if !ok {
			next = int32(len(m.nodes))
			m.nodes = append(m.nodes, trieNode{})
			if m.nodes[at].children == nil {
				m.nodes[at].children = map[byte]int32{}
			}
			m.nodes[at].children[pattern[i]] = next
		}
		at = next
	}
	if m.nodes[at].token == 0 {
		m.tokens = append(m.tokens, a)
		m.nodes[at].token = int32(len(m.tokens))
	}
}

// find returns the next match at or after from.
func (m *matcher) find(text string, from int) (start, end int, token *addedToken) {
	for start = from; start < len(text); start++ {
		if len(m.starts) == 1 { // usually "<": use the fast search
			skip := strings.IndexByte(text[start:], m.starts[0])
			if skip < 0 {
				break
			}
			start += skip
		}
		at, ok := m.nodes[0].children[text[start]]
		for i := start + 1; ok; i++ {
			if k := m.nodes[at].token; k > 0 {
				end, token = i, &m.tokens[k-1]
			}
			if i == len(text) {
				break
			}
			at, ok = m.nodes[at].children[text[i]]
		}
		if token != nil {
			return start, end, token
		}
	}
	return 0, 0, nil
}

// split calls yield for the parts of the text in order: with the id of an added token, or with -1
// for non-empty text between tokens.
func (m *matcher) split(text string, yield func(part string, id int32)) {
	done := 0
	for from := 0; len(m.nodes) > 0; {
		start, end, token := m.find(text, from)
		if token == nil {
			break
		}
		from = end
		if token.SingleWord {
			before, _ := utf8.DecodeLastRuneInString(text[:start])
			after, _ := utf8.DecodeRuneInString(text[end:])
			if start > 0 && isRustWord(before) || end < len(text) && isRustWord(after) {
				continue
			}
		}
		if token.LStrip {
			start = max(done, len(strings.TrimRightFunc(text[:start], unicode.IsSpace)))
		}
		if token.RStrip {
			end = len(text) - len(strings.TrimLeftFunc(text[end:], unicode.IsSpace))
		}
		if done < start {
			yield(text[done:start], -1)
		}
		yield(text[start:end], token.ID)
		done = end
	}
	if done < len(text) {
		yield(text[done:], -1)
	}
}
