package tokenizer

import "strings"

// A scan calls found for each match of a pattern, in order.
type scan func(text string, found func(start, end int))

// The split patterns of most published models have hand-written scanners, because a general
// regular-expression engine with look-ahead is many times slower. The text of the pattern selects
// the scanner; pattern.go handles all other patterns.
const gpt2Pattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

var scanners = map[string]scan{
	gpt2Pattern: whole(gpt2Match),
	`'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`: whole(gpt2Match),
	// GPT-4, Llama 3
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`:  whole(gpt4Match(3)),
	`'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`:        whole(gpt4Match(3)),
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+`: whole(gpt4Match(3)),
	// Qwen 2 and 3
	`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: whole(gpt4Match(1)),
}

// whole makes a scan of a function that returns the end of the match at i, for patterns that match
// everywhere.
func whole(match func(text string, i int) int) scan {
	return func(text string, found func(start, end int)) {
		for i := 0; i < len(text); {
			end := match(text, i)
			found(i, end)
			i = end
		}
	}
}

// run returns the end of the run of characters of class c that begins at i.
func run(text string, i int, c class) int {
	for {
		k, n := classAt(text, i)
		if n == 0 || k != c {
			return i
		}
		i += n
	}
}

// blank matches \s+(?!\S)|\s+ at i: white space, without its last character if text follows.
func blank(text string, i int) int {
	last, end := i, i
	for {
		k, n := classAt(text, end)
		if n == 0 {
			return end
		}
		if k != space && k != newline {
			break
		}
		last, end = end, end+n
	}
	if last > i {
		return last
	}
	return end
}

func gpt2Match(text string, i int) int {
	if text[i] == '\'' {
		if n := contraction(text[i+1:], false); n > 0 {
			return i + 1 + n
		}
	}
	k, n := classAt(text, i)
	if text[i] == ' ' {
		if after, m := classAt(text, i+1); m > 0 && after != space && after != newline {
			return run(text, i+1+m, after)
		}
	}
	if k == space || k == newline {
		return blank(text, i)
	}
	return run(text, i+n, k)
}

// gpt4Match is the later pattern, with numbers cut after that many digits.
func gpt4Match(digits int) func(text string, i int) int {
	return func(text string, i int) int {
		if text[i] == '\'' {
			if n := contraction(text[i+1:], true); n > 0 {
				return i + 1 + n
			}
		}
		k, n := classAt(text, i)
		switch k {
		case letter:
			return run(text, i+n, letter)
		case number:
			end := i + n
			for range digits - 1 {
				after, m := classAt(text, end)
				if m == 0 || after != number {
					break
				}
				end += m
			}
			return end
		case space, other:
			after, m := classAt(text, i+n)
			if m > 0 && after == letter {
				return run(text, i+n+m, letter)
			}
			end := 0
			if k == other {
				end = run(text, i+n, other)
			} else if text[i] == ' ' && m > 0 && after == other {
				end = run(text, i+1+m, other)
			}
			if end > 0 {
				return run(text, end, newline)
			}
		}
		// White space: up to its last line break, if it has one.
		end := i
		for j := i; ; {
			k, n := classAt(text, j)
			if n == 0 || k != space && k != newline {
				break
			}
			j += n
			if k == newline {
				end = j
			}
		}
		if end > i {
			return end
		}
		return blank(text, i)
	}
}

// contraction returns the length of s, t, re, ve, m, ll or d at the beginning of rest. fold ignores
// case as Unicode does, so it includes the long s.
func contraction(rest string, fold bool) int {
	if rest == "" {
		return 0
	}
	first := rest[0]
	if fold && first >= 'A' && first <= 'Z' {
		first |= 0x20
	}
	switch first {
	case 's', 't', 'm', 'd':
		return 1
	case 'r', 'v', 'l':
		if len(rest) < 2 {
			return 0
		}
		second := rest[1]
		if fold && second >= 'A' && second <= 'Z' {
			second |= 0x20
		}
		if first == 'l' && second == 'l' || first != 'l' && second == 'e' {
			return 2
		}
	}
	if fold && strings.HasPrefix(rest, "ſ") {
		return len("ſ")
	}
	return 0
}
