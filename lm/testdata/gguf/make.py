"""Makes the files of this folder with llama.cpp's Python package: python3 make.py (needs gguf 0.19, numpy).

quants.json: for each type of weights random blocks (base64) and what gguf.quants.dequantize makes of them (base64, float32).
llama.gguf:  the model of ../llama, its matrices as F16, laid out by the rules of llama.cpp's converter.
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
