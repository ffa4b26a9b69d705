"""Writes small tokenizer.json files, one a feature, and encodings.json with what they make of the texts.

usage: pip install tokenizers==0.23.3; python3 tokenizers.py   (in this folder; the training is deterministic)
"""
import json
import os
import random
import sys

here = os.path.dirname(os.path.abspath(__file__))
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != here]  # this file has the library's name
from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # noqa: E402

CORPUS = ["The quick brown fox jumps over the lazy dog. It's what they're saying: we'll see, don't you think?",
          "Human: How can I help you today?\n\nAssistant: I can't say 1234567890 times, but 42 is fine.",
          "def f(x):\n    return x + 1\n\n\tif x:\n\t\tpass\n", "naïve café résumé über straße", "Привет, мир! 中文测试 日本語",
          "hello hello world worlds world's   many   spaces", "aaaa aaaaaaaa aaaaaaaaaaaaaaaa"] * 3
TEXTS = ["", "a", " ", "  ", "\n", " \n\n x", "Hello world", "hello hello worlds", "  leading and trailing  ", "a   b    c",
         "it's they're WE'LL I'D don't 'x 'Sx 'ſ", "123 4567 89", "x=1;y=2", "foo_bar FooBar", "C++ C# ...!?", "\tif x:\n\t\tpass\r\n",
         "naïve café e\u0301", "Привет, мир!", "中文测试，你好", "😀 👩\u200d👩\u200d👧", "\u00a0nbsp\u2028sep\u3000", "a\u0000b\ufffd", "<s>x</s>",
         "say <tok> now<tok>then", "a <word> b<word>c (<word>)", "x \t<left> y", "x <right> \n y", "Norm NORM norm", "<mask>  <mask>",
         "½ ² Ⅷ ١٢", "ﬁ Å Ｆｕｌｌ", "İstanbul ǅ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "the quick brown fox, the lazy dog.", "▁under▁ line", "Ġ Ċ", "<0x41><0xE4>", "Human: Hi\n\nAssistant: Hello!",
         "ᲊꟍ 𐵀𐵐 new letters", "a.b,c;d", "{\"a\": [1, 2]}", "\u0130\u0149\u1e9e", "ab" * 40]
GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN = GPT4.replace("{1,3}", "")
TIKTOKEN = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"
            r"\s*[\r\n]+|\s+(?!\S)|\s+")


def bytelevel(regex=True, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": behavior, "invert": invert}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def added(content, id, special=False, **flags):
    base = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": special}
    return {**base, **flags}


def trained(kind):
    if kind == "bytes":
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        t.train_from_iterator(CORPUS, trainers.BpeTrainer(
            vocab_size=420, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False))
    elif kind == "letters":
        t = Tokenizer(models.BPE(unk_token="<unk>"))
        t.pre_tokenizer = pre_tokenizers.Metaspace()
        t.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=250, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False))
    else:
        # The Unigram trainer is not deterministic: scores are drawn for the pieces of the other training instead.
        model = trained("letters")
        rng = random.Random(1)
        vocab = [[token, 0.0 if token.startswith("<") else -round(rng.uniform(1, 12), 3) - 1.5 * (len(token) == 1)]
                 for token, _ in sorted(model["vocab"].items(), key=lambda kv: kv[1])]
        return {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": False}
    return json.loads(t.to_str())["model"]


BYTES, LETTERS, UNIGRAM = trained("bytes"), trained("letters"), trained("unigram")
BYTETOKENS = ["<0x%02X>" % b for b in range(256)]
N = len(BYTES["vocab"])


def with_bytes(model):
    vocab = dict(model["vocab"])
    for b in BYTETOKENS:
        vocab[b] = len(vocab)
    return {**model, "vocab": vocab, "byte_fallback": True, "fuse_unk": True}


def template(*parts):
    single = [{"Sequence": {"id": "A", "type_id": 0}} if p is None else {"SpecialToken": {"id": p[0], "type_id": 0}} for p in parts]
    tokens = {p[0]: {"id": p[0], "ids": [p[1]], "tokens": [p[0]]} for p in parts if p}
    pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def files():
    def t(model, pre=None, norm=None, post=None, dec=None, tokens=()):
        return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": list(tokens), "normalizer": norm,
                "pre_tokenizer": pre, "post_processor": post, "decoder": dec, "model": model}
    by = bytelevel()
    flags = [added("<s>", N, True), added("</s>", N + 1, True), added("<tok>", N + 2), added("<word>", N + 3, single_word=True),
             added("<left>", N + 4, lstrip=True), added("<right>", N + 5, rstrip=True), added("Norm", N + 6, normalized=True),
             added("<mask>", N + 7, True, lstrip=True, rstrip=True), added("hello", BYTES["vocab"]["hello"], single_word=True, normalized=True)]
    ends = [added("<unk>", 0, True), added("<s>", 1, True), added("</s>", 2, True)]
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    sp = sequence("decoders", {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                  {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    yield "gpt2", t(BYTES, by, dec=by, post=by)
    yield "digits", t(BYTES, sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, by), dec=by)
    yield "digits-first-last", t(BYTES, sequence("pretokenizers", by, {"type": "Digits", "individual_digits": False}), dec=by)
    yield "prefix-space", t(BYTES, bytelevel(prefix=True), dec=by, tokens=flags)
    yield "added", t(BYTES, by, {"type": "Lowercase"}, sequence("processors", by, template(("<s>", N), None, ("</s>", N + 1))), by, flags)
    for name, pattern in {"gpt4": GPT4, "qwen": QWEN, "tiktoken": TIKTOKEN, "gpt4o": GPT4O, "deepseek": DEEPSEEK}.items():
        yield name, t(BYTES, sequence("pretokenizers", split(pattern), bytelevel(False)), {"type": "NFC"} if name == "qwen" else None, dec=by)
    yield "ignore-merges", t({**BYTES, "ignore_merges": True}, sequence("pretokenizers", split(GPT4), bytelevel(False)), dec=by)
    for behavior in ["Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        yield "split-" + behavior.lower(), t(BYTES, sequence("pretokenizers", split(r"\w+|\p{P}", behavior), bytelevel(False)), dec=by)
        yield "invert-" + behavior.lower(), t(BYTES, sequence("pretokenizers", split(r"[\w']+", behavior, True), bytelevel(False)), dec=by)
    yield "words", t(BYTES, sequence("pretokenizers", {"type": "Whitespace"}, {"type": "Punctuation", "behavior": "Isolated"}, bytelevel(False)), dec=by)
    yield "whitespace", t(BYTES, sequence("pretokenizers", {"type": "WhitespaceSplit"}, {"type": "CharDelimiterSplit", "delimiter": "."},
                                          {"type": "Punctuation", "behavior": "Contiguous"}, bytelevel(False, True)), dec=by,
                          norm=sequence("normalizers", {"type": "NFKC"}, {"type": "Strip", "strip_left": True, "strip_right": True}))
    yield "nfd", t(BYTES, by, {"type": "NFD"}, {"type": "RobertaProcessing", "sep": ["</s>", N + 1], "cls": ["<s>", N], "trim_offsets": True,
                                               "add_prefix_space": False}, by, flags)
    yield "llama", t(with_bytes(LETTERS), None, sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, space),
                     template(("<s>", 1), None), sp, ends)
    yield "gemma", t(with_bytes(LETTERS), {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
                     space, template(("<s>", 1), None), sequence("decoders", *sp["decoders"][:3]), ends + [added("▁▁", 250 + 256)])
    yield "unk", t(LETTERS, meta, dec=meta, tokens=ends)
    yield "fuse-unk", t({**LETTERS, "fuse_unk": True}, {**meta, "prepend_scheme": "first", "split": False}, dec=meta, tokens=ends)
    yield "no-unk", t({**LETTERS, "unk_token": None}, {**meta, "prepend_scheme": "never"}, dec={**meta, "prepend_scheme": "never"})
    yield "unigram", t(UNIGRAM, meta, {"type": "NFKD"}, template(None, ("</s>", 2)), meta, ends)
    yield "unigram-bytes", t({**UNIGRAM, "byte_fallback": True, "vocab": UNIGRAM["vocab"] + [[b, -20.0] for b in BYTETOKENS]},
                             {**meta, "prepend_scheme": "first"}, dec=sp, tokens=ends)
    yield "suffix", t({"type": "BPE", "unk_token": "<unk>", "end_of_word_suffix": "</w>", "continuing_subword_prefix": None, "dropout": None, "fuse_unk": False,
                       "vocab": {k: i for i, k in enumerate(["<unk>", *"abcdeh lo", *[c + "</w>" for c in "abcdeho"], "he", "lo</w>", "l", "ll", "hell"])},
                       "merges": ["h e", "l o</w>", "l l", "he ll"]}, {"type": "WhitespaceSplit"}, dec={"type": "BPEDecoder", "suffix": "</w>"})
    yield "regex-replace", t(BYTES, by, sequence("normalizers", {"type": "Replace", "pattern": {"Regex": r" {2,}|\t"}, "content": "_"}), dec=by)


def main():
    rng = random.Random(7)
    alphabet = list("aabcdehlo  ''\n\t.,!1234_<>▁é中😀ß") + ["'s", "'LL", "\r\n", "   ", "\u00a0", "e\u0301", "<tok>", "<s>", "hello", "ſ", "½"]
    texts = TEXTS + ["".join(rng.choice(alphabet) for _ in range(rng.randint(1, 24))) for _ in range(120)]
    result = {"texts": texts, "encodings": {}}
    for name, file in files():
        text = json.dumps(file, ensure_ascii=False, separators=(",", ":"))
        with open(os.path.join(here, "tokenizer-" + name + ".json"), "w") as f:
            f.write(text + "\n")
        tokenizer = Tokenizer.from_str(text)
        rows = []
        for s in texts:
            ids, special = tokenizer.encode(s, add_special_tokens=False).ids, tokenizer.encode(s).ids
            rows.append([ids, None if special == ids else special, tokenizer.decode(special, skip_special_tokens=False),
                         tokenizer.decode(special, skip_special_tokens=True)])
        # Sequences that no text gives: cut characters, strange orders.
        cuts = []
        for _ in range(40):
            ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randint(1, 8))]
            cuts.append([ids, tokenizer.decode(ids, skip_special_tokens=True)])
        result["encodings"][name] = {"rows": rows, "cuts": cuts}
    with open(os.path.join(here, "encodings.json"), "w") as f:
        f.write(json.dumps(result, ensure_ascii=False, separators=(",", ":")).replace('"encodings"', '\n"encodings"') + "\n")


main()
