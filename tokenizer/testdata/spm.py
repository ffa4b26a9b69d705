"""Makes sentencepiece.json: a small SentencePiece BPE model as the metadata of a GGUF file (tokens, scores, types), and what
SentencePiece makes of the texts of encodings.json. usage: spm.py TEXT_FILE   (needs sentencepiece 0.2)
"""
import io, json, os, sys
import sentencepiece as spm

here = os.path.dirname(os.path.abspath(__file__))
out = io.BytesIO()
spm.SentencePieceTrainer.train(
    sentence_iterator=iter(open(sys.argv[1], encoding="utf-8")), model_writer=out, model_type="bpe", vocab_size=900, byte_fallback=True,
    split_digits=True, character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False, max_sentence_length=4000,
    allow_whitespace_only_pieces=True, num_threads=1)
sp = spm.SentencePieceProcessor(model_proto=out.getvalue())


def kind(i):
    return 2 if sp.IsUnknown(i) else 3 if sp.IsControl(i) else 6 if sp.IsByte(i) else 5 if sp.IsUnused(i) else 1


n = sp.vocab_size()
texts = [t for t in json.load(open(os.path.join(here, "encodings.json")))["texts"] if "<s>" not in t and "\0" not in t and "<unk>" not in t]
texts = [t for t in texts if t.encode("utf-8", "surrogatepass").decode("utf-8", "replace") == t] + [
    "The assistant wouldn't answer the question, because it had been asked twice before.", "understanding  the   differences\tbetween them\n\n"]
json.dump({
    "tokens": [sp.IdToPiece(i) for i in range(n)], "scores": [sp.GetScore(i) for i in range(n)], "types": [kind(i) for i in range(n)],
    "rows": [{"text": t, "ids": sp.encode(t)} for t in texts],
}, open(os.path.join(here, "sentencepiece.json"), "w"), ensure_ascii=False, separators=(",", ":"))
