package tokenizer

import "strings"

// The alphabet of byte-level vocabularies: a byte that is printable in Latin-1 stands for itself,
// any other for a character from U+0100 on.
var (
	byteRune [256]rune
	runeByte [0x144]int16 // -1: not in the alphabet
)

func init() {
	for i := range runeByte {
		runeByte[i] = -1
	}
	next := rune(0x100)
	for b := range 256 {
		r := rune(b)
		if printable := b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE; !printable {
			r = next
			next++
		}
		byteRune[b] = r
		runeByte[r] = int16(b)
	}
}

func byteOf(r rune) (byte, bool) {
	if r < 0 || int(r) >= len(runeByte) || runeByte[r] < 0 {
		return 0, false
	}
	return byte(runeByte[r]), true
}

// toByteLevel writes each byte of s as its character.
func toByteLevel(s string) string {
	var out strings.Builder
	out.Grow(len(s) * 2)
	for i := range len(s) {
		out.WriteRune(byteRune[s[i]])
	}
	return out.String()
}

// fromByteLevel returns the bytes of a token. ok is false if the token has a character outside the
// alphabet.
func fromByteLevel(token string) (s string, ok bool) {
	out := make([]byte, 0, len(token))
	for _, r := range token {
		b, ok := byteOf(r)
		if !ok {
			return "", false
		}
		out = append(out, b)
	}
	return string(out), true
}
