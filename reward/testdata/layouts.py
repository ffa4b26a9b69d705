"""Checkpoints as other programs write them, with the rewards that those programs read: layouts.py BASE OUT

BASE is a small Hugging Face folder. Each folder of OUT has a checkpoint or PEFT adapter and expected.json: token ids and rewards,
of each sequence run alone in float32. The bases of some adapters are in OUT/../bases. Seen with torch 2.15.0, transformers 5.24.0, peft 0.21.2.
"""
import json, os, shutil, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoModelForTokenClassification

base, out = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
bases = os.path.join(os.path.dirname(out), "bases")
torch.manual_seed(0)
torch.use_deterministic_algorithms(True)
prompt, responses = [1, 5, 9, 17, 33, 65], [[20, 21, 22, 2], [20, 99, 140, 7, 8, 2], [44, 2]]
grown = [[20, 161, 22, 2], [164, 99, 163, 7, 8, 2], [44, 2]]  # with tokens beyond the base's embedding


def ids(response):
    return torch.tensor([prompt + response])


def expect(name, rewards, logps=None, responses=responses):
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
        logits = [m(ids(r)).logits[0] for r in responses]
        expect(f"labels{labels}", [x[-1] if labels < 5 else 0.7 * x[0] - 0.3 * x[4] for x in logits])
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

# Names as torch.compile and DistributedDataParallel leave them, and a head of a name that nobody knows.
def rename(name, prefix, file="model.safetensors"):
    path = os.path.join(out, name, file)
    save_file({prefix + k: v for k, v in load_file(path).items()}, path, {"format": "pt"})


for name, prefix in [("compiled", "_orig_mod."), ("parallel", "module."), ("compiled-parallel", "module._orig_mod.")]:
    shutil.copytree(os.path.join(out, "labels1"), os.path.join(out, name))
    rename(name, prefix)
causal().save_pretrained(os.path.join(out, "unknown"))
change("unknown", None, {"reward_head.weight": linear.weight, "reward_head.bias": linear.bias})

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


def randomize(m):
    with torch.no_grad():
        for n, p in m.named_parameters():
            if "lora_B" in n or "modules_to_save" in n:
                p.add_(torch.randn_like(p) * 0.3)
            if "magnitude" in n:
                p.mul_(1 + 0.3 * torch.rand_like(p))


def save(m, name, on):
    m.save_pretrained(os.path.join(out, name))
    path = os.path.join(out, name, "adapter_config.json")
    c = json.load(open(path)); c["base_model_name_or_path"] = on; json.dump(c, open(path, "w"))


# A LoRA on the score head itself, which PEFT makes where the task type does not put the head among modules_to_save.
for labels in (1, 2):
    m = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels, dtype=torch.float32)
    torch.nn.init.normal_(m.score.weight)
    m.save_pretrained(os.path.join(bases, f"classifier{labels}"))
for name, labels, options in [
    ("score-lora", 1, {}), ("score-rslora", 1, {"use_rslora": True}), ("score-dora", 1, {"use_dora": True}), ("score-labels", 2, {}),
    ("score-alpha", 1, {"alpha_pattern": {"score": 3}, "rank_pattern": {"score": 2}}), ("score-saved", 1, {"task_type": "SEQ_CLS"}),
]:
    on = os.path.join(bases, f"classifier{labels}")
    m = AutoModelForSequenceClassification.from_pretrained(on, dtype=torch.float32)
    m = get_peft_model(m, LoraConfig(**{"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "score"], **options})).eval()
    randomize(m)
    save(m, name, on)
    with torch.no_grad():
        expect(name, [m(input_ids=ids(r)).logits[0, -1] for r in responses])
shutil.copytree(os.path.join(out, "lora"), os.path.join(out, "parallel-adapter"))
rename("parallel-adapter", "module.", "adapter_model.safetensors")
# Without the base's head, what was trained is lost.
shutil.copytree(os.path.join(out, "score-lora"), os.path.join(out, "score-lost"))
path = os.path.join(out, "score-lost", "adapter_config.json")
c = json.load(open(path)); c["base_model_name_or_path"] = base; json.dump(c, open(path, "w"))

# A vocabulary that has grown: PEFT saves embedding and policy head in full.
m = causal()
m.config.tie_word_embeddings = False
m.lm_head.weight = torch.nn.Parameter(torch.randn_like(m.lm_head.weight) * 0.2)
m.save_pretrained(os.path.join(bases, "untied"))
for name, on, kind, options in [
    ("grown-tied", base, "CAUSAL_LM", {}), ("grown-untied", os.path.join(bases, "untied"), "CAUSAL_LM", {}),
    ("grown-saved", os.path.join(bases, "untied"), "CAUSAL_LM", {"modules_to_save": ["embed_tokens", "lm_head"]}),
    ("grown-classifier", base, "SEQ_CLS", {}), ("grown-classifier-untied", os.path.join(bases, "untied"), "SEQ_CLS", {}),
]:
    cls = AutoModelForCausalLM if kind == "CAUSAL_LM" else AutoModelForSequenceClassification
    m = cls.from_pretrained(on, dtype=torch.float32, **({"num_labels": 1} if kind == "SEQ_CLS" else {}))
    m.resize_token_embeddings(165, mean_resizing=False)
    m = get_peft_model(m, LoraConfig(r=4, lora_alpha=12, task_type=kind, target_modules=["q_proj"], **options)).eval()
    randomize(m)
    with torch.no_grad():
        for e in [m.get_input_embeddings(), m.get_output_embeddings() if "untied" in name else None]:
            if e is not None:
                e.weight[-5:].normal_(std=0.5)
    save(m, name, on)
    with torch.no_grad():
        if kind == "SEQ_CLS":
            expect(name, [m(input_ids=ids(r)).logits[0, 0] for r in grown], None, grown)
            continue
        logps = []
        for r in grown:
            lp = m(input_ids=ids(r)).logits[0].log_softmax(-1)
            logps.append(sum(lp[len(prompt) - 1 + i, t] for i, t in enumerate(r)))
        expect(name, [0] * len(grown), logps, grown)
