"""Makes the files of this folder with llama.cpp's Python package: python3 make.py (needs gguf 0.19, numpy).

quants.json: for each type of weights random blocks (base64) and what gguf.quants.dequantize makes of them (base64, float32).
llama.gguf:  the model of ../llama, its matrices as F16, laid out by the rules of llama.cpp's converter.
text.gguf:   a random model with a byte-level tokenizer and a chat template, its matrices as Q8_0 and Q4_1.
"""
import base64, json, os
import numpy as np
import gguf
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(0)

# The places of the float16 scales in a block: random bits would make infinities of some of them.
scales = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208]}
out = {}
for kind in [T.F32, T.F16, T.BF16, *scales]:
    values, size = GGML_QUANT_SIZES[kind]
    n = max(3, 96 // values)
    data = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in scales.get(kind, []):
        data[:, at:at + 2] = (rng.standard_normal((n, 1)) * 0.02).astype(np.float16).view(np.uint8)
    if kind in (T.F32, T.F16, T.BF16):  # plain numbers, subnormal ones too
        x = (rng.standard_normal((n, 1)) * 10.0 ** rng.integers(-7, 3, (n, 1))).astype(np.float32)
        data = gguf.quants.quantize(x, kind).view(np.uint8).reshape(n, size)
    whole = gguf.quants.dequantize(data.reshape(1, -1), kind).astype(np.float32)
    assert np.isfinite(whole).all() and whole.size == n * values
    out[kind.name] = {"blocks": base64.b64encode(data.tobytes()).decode(), "values": base64.b64encode(whole.tobytes()).decode()}
json.dump(out, open(os.path.join(here, "quants.json"), "w"), indent=1)


def safetensors(path):
    raw = open(path, "rb").read()
    n = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + n])
    for name, t in header.items():
        if name != "__metadata__":
            assert t["dtype"] == "F32"
            a, b = t["data_offsets"]
            yield name, np.frombuffer(raw[8 + n + a:8 + n + b], np.float32).reshape(t["shape"])


def permute(w, heads):  # LlamaModel.permute of the converter
    return w.reshape(heads, 2, w.shape[0] // heads // 2, *w.shape[1:]).swapaxes(1, 2).reshape(w.shape)


model = os.path.join(here, "..", "llama")
config = json.load(open(os.path.join(model, "config.json")))
w = gguf.GGUFWriter(os.path.join(here, "llama.gguf"), "llama")
w.add_block_count(config["num_hidden_layers"])
w.add_context_length(config["max_position_embeddings"])
w.add_embedding_length(config["hidden_size"])
w.add_feed_forward_length(config["intermediate_size"])
w.add_head_count(config["num_attention_heads"])
w.add_head_count_kv(config["num_key_value_heads"])
w.add_rope_freq_base(config.get("rope_theta") or config["rope_parameters"]["rope_theta"])
w.add_layer_norm_rms_eps(config["rms_norm_eps"])
w.add_key_length(config["head_dim"])
w.add_value_length(config["head_dim"])
w.add_rope_dimension_count(config["head_dim"])
w.add_vocab_size(config["vocab_size"])
w.add_bos_token_id(1)
w.add_eos_token_id(2)
names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
for name, a in safetensors(os.path.join(model, "model.safetensors")):
    if name.endswith("q_proj.weight"):
        a = permute(a, config["num_attention_heads"])
    if name.endswith("k_proj.weight"):
        a = permute(a, config["num_key_value_heads"])
    new = names.get_name(name, try_suffixes=(".weight",))
    assert new, name
    w.add_tensor(new, a.astype(np.float16) if a.ndim == 2 else a)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()

tokenizer = json.load(open(os.path.join(here, "..", "..", "..", "tokenizer", "testdata", "tokenizer-digits.json")))["model"]
tokens = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["merges"]]
special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
first = len(tokens)
tokens += special
w = gguf.GGUFWriter(os.path.join(here, "text.gguf"), "llama")
w.add_block_count(2)
w.add_context_length(512)
w.add_embedding_length(32)
w.add_feed_forward_length(64)
w.add_head_count(4)
w.add_head_count_kv(2)
w.add_rope_freq_base(10000.0)
w.add_layer_norm_rms_eps(1e-5)
w.add_rope_dimension_count(8)
w.add_vocab_size(len(tokens))
w.add_tokenizer_model("gpt2")
w.add_tokenizer_pre("smollm")
w.add_token_list(tokens)
w.add_token_types([1] * first + [3] * len(special))
w.add_token_merges(merges)
w.add_unk_token_id(first)
w.add_bos_token_id(first + 1)
w.add_eos_token_id(first + 2)
w.add_pad_token_id(first + 2)
w.add_add_bos_token(False)
w.add_chat_template("{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
                    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def matrix(name, out, size, kind, std=0.15):
    data = gguf.quants.quantize((rng.standard_normal((out, size)) * std).astype(np.float32), kind)
    w.add_tensor(name, data, raw_dtype=kind)


matrix("token_embd.weight", len(tokens), 32, T.Q8_0, 1)
w.add_tensor("output_norm.weight", np.ones(32, np.float32))
for i in range(2):
    for name, out, size in [("attn_q", 32, 32), ("attn_k", 16, 32), ("attn_v", 16, 32), ("attn_output", 32, 32), ("ffn_gate", 64, 32), ("ffn_up", 64, 32), ("ffn_down", 32, 64)]:
        matrix(f"blk.{i}.{name}.weight", out, size, T.Q4_1)
    for name in ("attn_norm", "ffn_norm"):
        w.add_tensor(f"blk.{i}.{name}.weight", (1 + 0.1 * rng.standard_normal(32)).astype(np.float32))
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
