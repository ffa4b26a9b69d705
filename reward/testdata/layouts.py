"""Checkpoints as other programs write them, with the rewards that those programs read: layouts.py BASE OUT

BASE is a small Hugging Face folder. Each folder of OUT has a checkpoint or PEFT adapter and expected.json: token ids and rewards,
of each sequence run alone in float32. Seen with torch 2.15.0, transformers 5.24.0, peft 0.21.2.
"""
import json, os, shutil, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

base, out = os.path.abspath(sys.argv[1]), sys.argv[2]
torch.manual_seed(0)
torch.use_deterministic_algorithms(True)
prompt, responses = [1, 5, 9, 17, 33, 65], [[20, 21, 22, 2], [20, 99, 140, 7, 8, 2], [44, 2]]


def ids(response):
    return torch.tensor([prompt + response])


def expect(name, rewards, logps=None):
    rows = {"prompt": prompt, "responses": responses, "rewards": [float(r) for r in rewards]}
    if logps is not None:
        rows["logps"] = [float(x) for x in logps]
    json.dump(rows, open(os.path.join(out, name, "expected.json"), "w"))


def causal():
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()


def change(name, config=None, tensors=None, file="model.safetensors"):
    d = os.path.join(out, name)
    if config:
        path = os.path.join(d, "config.json")
        c = json.load(open(path)); c.update(config); json.dump(c, open(path, "w"))
    if tensors:
        path = os.path.join(d, file)
        t = load_file(path) if os.path.exists(path) else {}
        t.update({k: v.detach().contiguous() for k, v in tensors.items()})
        save_file(t, path, {"format": "pt"})


@torch.no_grad()
def hidden(response):
    return causal().model(ids(response)).last_hidden_state[0, -1]


with torch.no_grad():
    H = causal().config.hidden_size
    linear, mlp = torch.nn.Linear(H, 1), torch.nn.Sequential(torch.nn.Linear(H, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1))
    deep = torch.nn.Sequential(torch.nn.Linear(H, 16), torch.nn.ReLU(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    for m in (linear, mlp, deep):
        for p in m.parameters():
            p.mul_(3)

    # transformers' own classifiers.
    for labels in (1, 2, 5):
        m = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels, dtype=torch.float32).eval()
        m.score.weight.normal_()
        m.save_pretrained(os.path.join(out, f"labels{labels}"))
        expect(f"labels{labels}", [m(ids(r)).logits[0, -1 if labels < 5 else 0] for r in responses])
    AutoModelForTokenClassification.from_pretrained(base, dtype=torch.float32).save_pretrained(os.path.join(out, "tokens"))

    # TRL's value head and GRM's linear one: v_head.summary beside the model.
    for name, head, config in [("trl", linear, {}), ("grm-linear", linear, {"vhead_layer_type": "linear"}),
                               ("grm-mlp", mlp, {"vhead_layer_type": "mlp", "vhead_num_neurons": 16, "vhead_num_layers": 1}),
                               ("grm-deep", deep, {"vhead_layer_type": "mlp", "vhead_num_neurons": 16, "vhead_num_layers": 2})]:
        causal().save_pretrained(os.path.join(out, name))
        change(name, config, {"v_head.summary." + k: v for k, v in head.state_dict().items()})
        expect(name, [head(hidden(r))[0] for r in responses])
    causal().save_pretrained(os.path.join(out, "llamafactory"))
    change("llamafactory", None, {"v_head.summary." + k: v for k, v in linear.state_dict().items()}, "value_head.safetensors")
    expect("llamafactory", [linear(hidden(r))[0] for r in responses])

    # OpenRLHF: a bias-free head of a stated name, normalized if so stated.
    w = linear.weight
    for name, prefix, normalize in [("openrlhf-score", "score", True), ("openrlhf-value", "value_head", False), ("openrlhf-own", "my_head", True)]:
        causal().save_pretrained(os.path.join(out, name))
        change(name, {"architectures": ["RewardModel"], "value_head_prefix": prefix, "mean": 0.75, "std": 2.5, "normalize_reward": normalize}, {prefix + ".weight": w})
        r = [(w @ hidden(x))[0] for x in responses]
        expect(name, [(x - 0.75) / 2.5 if normalize else x for x in r])

# PEFT adapters, all with random A, B and head.
linears = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
for name, kind, options in [
    ("lora", "SEQ_CLS", {}), ("rslora", "SEQ_CLS", {"use_rslora": True}), ("dora", "SEQ_CLS", {"use_dora": True}),
    ("patterns", "SEQ_CLS", {"rank_pattern": {"down_proj": 2, r"layers\.1\.self_attn\.q_proj": 8}, "alpha_pattern": {"q_proj": 3}}),
    ("rspatterns", "SEQ_CLS", {"use_rslora": True, "rank_pattern": {"down_proj": 2}, "alpha_pattern": {"up_proj": 5}}),
    ("layers", "SEQ_CLS", {"layers_to_transform": [1]}), ("exclude", "SEQ_CLS", {"exclude_modules": ["o_proj", "model.layers.0.mlp.up_proj"]}),
    ("regex", "SEQ_CLS", {"target_modules": r".*\.(q|v)_proj"}), ("lm_head", "CAUSAL_LM", {"modules_to_save": ["lm_head"]}),
    ("dora-patterns", "SEQ_CLS", {"use_dora": True, "use_rslora": True, "rank_pattern": {"k_proj": 2}}),
    ("bias", "SEQ_CLS", {"bias": "all"}),
]:
    if kind == "SEQ_CLS":
        m = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    else:
        m = causal()
        m.config.tie_word_embeddings = False
        m.lm_head.weight = torch.nn.Parameter(m.lm_head.weight.detach().clone())
    m = get_peft_model(m, LoraConfig(**{"task_type": kind, "r": 4, "lora_alpha": 12, "target_modules": linears, **options})).eval()
    with torch.no_grad():
        for n, p in m.named_parameters():
            if "lora_B" in n or "modules_to_save" in n:
                p.add_(torch.randn_like(p) * 0.3)
            if "magnitude" in n:
                p.mul_(1 + 0.3 * torch.rand_like(p))
        m.save_pretrained(os.path.join(out, name))
        path = os.path.join(out, name, "adapter_config.json")
        c = json.load(open(path)); c["base_model_name_or_path"] = base; json.dump(c, open(path, "w"))
        if kind == "SEQ_CLS":
            expect(name, [m(input_ids=ids(r)).logits[0, 0] for r in responses])
        else:
            logps = []
            for r in responses:
                lp = m(input_ids=ids(r)).logits[0].log_softmax(-1)
                logps.append(sum(lp[len(prompt) - 1 + i, t] for i, t in enumerate(r)))
            expect(name, [0] * len(responses), logps)
