"""Writes a model folder with random weights in the shape of a published one, to measure speed without its download.

usage: random_model.py SHAPE TOKENIZER_DIR OUT_DIR      (needs torch and transformers)

Speed and memory depend on the shape alone. The tokenizer is copied from TOKENIZER_DIR and may have fewer tokens than the shape.
"""
import json, os, shutil, sys
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

# hidden, intermediate, layers, heads, key and value heads, vocabulary, embeddings tied
SHAPES = {
    "qwen2.5-0.5b": (896, 4864, 24, 14, 2, 151936, True),
    "qwen2.5-1.5b": (1536, 8960, 28, 12, 2, 151936, True),
    "qwen2.5-3b": (2048, 11008, 36, 16, 2, 151936, True),
    "qwen2.5-7b": (3584, 18944, 28, 28, 4, 152064, False),
}
shape, tokenizer, out = sys.argv[1:]
hidden, intermediate, layers, heads, kv, vocab, tied = SHAPES[shape]
with open(os.path.join(tokenizer, "config.json")) as f:
    special = {k: v for k, v in json.load(f).items() if k in ("bos_token_id", "eos_token_id", "pad_token_id")}
config = Qwen2Config(
    hidden_size=hidden, intermediate_size=intermediate, num_hidden_layers=layers, num_attention_heads=heads,
    num_key_value_heads=kv, vocab_size=vocab, tie_word_embeddings=tied, max_position_embeddings=32768, **special)
torch.manual_seed(0)
if torch.cuda.is_available():
    torch.set_default_device("cuda")
torch.set_default_dtype(torch.bfloat16)
Qwen2ForCausalLM(config).save_pretrained(out)
for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
    if os.path.exists(os.path.join(tokenizer, name)):
        shutil.copy(os.path.join(tokenizer, name), out)
