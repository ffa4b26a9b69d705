"""Writes families.json: how published families put their tokenizers together, each over the model of one of the small
files here, with what the tokenizers library makes of hostile texts.

usage: pip install tokenizers==0.23.3; python3 families.py   (in this folder, after tokenizers.py)
"""
import json
import os
import random
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != here]  # a file here has the library's name
from tokenizers import Tokenizer  # noqa: E402


def base(name):
    with open(os.path.join(here, "tokenizer-" + name + ".json")) as f:
        return json.load(f)


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def by(regex=False, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def steps(*parts):
    return {"type": "Sequence", "pretokenizers": list(parts)}


def added(start, *tokens, vocab=()):
    """Entries of added_tokens: the id of the vocabulary where the token is there, else the next after start."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
    out = []
    for content, changed in tokens:
        known = content in vocab
        out.append({"id": vocab[content] if known else start, "content": content, **flags, **changed})
        start += not known
    return out


BYTES, LETTERS = len(base("gpt2")["model"]["vocab"]), len(base("llama")["model"]["vocab"])
GPT2 = len(base("unigram")["model"]["vocab"])
HAN = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
ENDING = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
SPLITS = {
    "bloom": steps(split(" ?[^(\\s|[.,!?…。，、।۔،])]+"), by()),
    "kimi": steps(split("[\\p{Han}]+|" + HAN + "*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]+" + ENDING + "|" + HAN + "+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]*" + ENDING
                        + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"), by()),
    "boundary": steps(split(r"(\d{1,3})(?=(\d{3})*\b)|\w+|\W"), by()),
    "digits-from-right": steps(split(r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"), by(True)),
    "deepseek-v3": steps(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"),
                         split("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"), by()),
    "deepseek-coder": steps(split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), {"type": "Digits", "individual_digits": True}, by()),
    "falcon": steps({"type": "Punctuation", "behavior": "Contiguous"}, by(True), {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")),
    "camel": steps(split(r"(?<=[a-z])(?=[A-Z])"), by(True)),
    "nemo": steps(split(r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
                        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"), by()),
}
META = {"type": "Metaspace", "replacement": "▁"}
FAMILIES = {
    **{name: ("gpt2", {"pre_tokenizer": pre}) for name, pre in SPLITS.items()},
    "neox": ("gpt2", {"normalizer": {"type": "NFC"}, "added_tokens": added(BYTES, ("<|endoftext|>", {"special": True}), *[(" " * n, {"normalized": True}) for n in range(24, 1, -1)])}),
    "phi": ("gpt2", {"added_tokens": added(BYTES, ("<|endoftext|>", {"special": True}), *[(" " * n, {"normalized": True}) for n in range(31, 1, -1)],
                                           *[("\t" * n, {"normalized": True}) for n in range(9, 1, -1)])}),
    "phi-4": ("gpt2", {"normalizer": {"type": "Lowercase"}, "added_tokens": added(
        BYTES, ("<|user|>", {"rstrip": True, "special": True}), ("<|end|>", {"lstrip": True, "rstrip": True, "special": True}), ("<w>", {"single_word": True}), ("Low", {"normalized": True}))}),
    "mistral": ("llama", {"normalizer": None, "pre_tokenizer": {**META, "prepend_scheme": "first", "split": False}, "added_tokens": base("llama")["added_tokens"] + added(
        LETTERS, ("[INST]", {"special": True}), ("[/INST]", {"special": True}))}),
    "gemma-3": ("gemma", {"added_tokens": base("llama")["added_tokens"] + added(
        LETTERS, ("<start_of_turn>", {"special": True}), ("\n\n", {}), ("\n\n\n", {}), ("▁▁", {}), ("▁▁▁▁", {}), ("\t\t", {}), vocab=base("gemma")["model"]["vocab"])}),
    "t5": ("unigram", {"normalizer": None, "pre_tokenizer": steps({"type": "WhitespaceSplit"}, {**META, "prepend_scheme": "always", "split": True}),
                       "added_tokens": base("unigram")["added_tokens"] + added(GPT2, ("<extra_id_0>", {"lstrip": True, "special": True}), ("<extra_id_1>", {"lstrip": True, "special": True}))}),
    "xlm": ("unigram", {"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
                        "pre_tokenizer": {**META, "prepend_scheme": "always", "split": True},
                        "added_tokens": base("unigram")["added_tokens"] + added(GPT2, ("<mask>", {"lstrip": True, "special": True}))}),
}
PIECES = list("abcdehlo  ''\n\t.,!1234_<>▁é中😀ß|ſKÅİıǅ½²٣\u0301\u200d\u00a0\u2028\u3000\ufeff\u0000\u0085한ᄒ।۔") + [
    "'s", "'LL", "\r\n", "   ", "        ", "<s>", "</s>", "<unk>", "<mask>", "<extra_id_0>", "hello", "Hello", "world", "<0x41>", "▁▁", "\n\n\n", "\t\t\t", "<|user|>",
    "<|end|>", "[INST]", "<w>", "LOW", "Low", "12345678", "1234.5678", "👩‍👩‍👧", "𝒳𝟙", "ﬁ", "Ⅷ", "中文测试", "日本語", "カタカナ", "العربية ١٢٣", "हिन्दी", "ไทย", "don't", "camelCase", "the quick",
    "  return", "<start_of_turn>", "\n\n", "    "]


def main():
    rng = random.Random(11)
    texts = ["", " ", "   x   ", " <mask> a <extra_id_0>", "a\u0000b", "<s> a </s>"] + ["".join(rng.choice(PIECES) for _ in range(rng.randint(2, 16))) for _ in range(24)]
    families = {}
    for name, (model, replace) in FAMILIES.items():
        t = Tokenizer.from_str(json.dumps({**base(model), **replace}))
        rows = []
        for s in texts:
            ids, special = t.encode(s, add_special_tokens=False).ids, t.encode(s).ids
            rows.append([ids, None if special == ids else special, t.decode(special, skip_special_tokens=False), t.decode(special, skip_special_tokens=True)])
        families[name] = {"base": model, "replace": replace, "rows": rows}
    with open(os.path.join(here, "families.json"), "w") as f:
        f.write('{"texts":' + json.dumps(texts, ensure_ascii=False) + ',"families":{\n' + ",\n".join(
            json.dumps(k) + ":" + json.dumps(v, ensure_ascii=False, separators=(",", ":")) for k, v in families.items()) + "}}\n")


main()
