"""Prints, as JSON, how PyPI tokenizers 0.23.3 classifies every code point: the input of unicode.go's generator.

usage: pip install tokenizers==0.23.3; python3 unicode.py > classes.json; go run unicode.go classes.json > ../unicode_newer.go

Keys are general categories and properties of its regular expressions ("w" is the word class), "rust.*" the classes of
its hand-written splitters, values are ranges [[first, last], ...]; "map.*" are the code points that a normalizer changes.
"""
import json
import sys

from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def ranges(points):
    out = []
    for c in points:
        if out and out[-1][1] == c - 1:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def members(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    return ranges(c for c in ALL if not split.pre_tokenize_str(chr(c)))


CATEGORIES = "L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp Han".split()
out = {name: members(r"\p{%s}" % name) for name in CATEGORIES}
out["s"] = members(r"\s")
out["w"] = members(r"\w")
punctuation = pre_tokenizers.Punctuation("removed")
out["rust.punctuation"] = ranges(c for c in ALL if not punctuation.pre_tokenize_str(chr(c)))
digits = pre_tokenizers.Digits(False)
out["rust.numeric"] = ranges(c for c in ALL if len(digits.pre_tokenize_str("a" + chr(c))) == 2)
whitespace = pre_tokenizers.Whitespace()
out["rust.word"] = ranges(c for c in ALL if whitespace.pre_tokenize_str("a" + chr(c))[0][0] == "a" + chr(c))
for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase"]:
    normalizer = getattr(normalizers, name)()
    changed = ((c, normalizer.normalize_str(chr(c))) for c in ALL)
    out["map." + name] = {str(c): to for c, to in changed if to != chr(c)}
json.dump(out, sys.stdout)
