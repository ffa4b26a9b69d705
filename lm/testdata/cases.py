"""Tiny cases for the parity tests: a random model of a family, and what PyTorch makes of it.

usage: cases.py OUT_DIR [CASE …]        all cases without a name; a folder a case, of the form that lm/parity_test.go reads
Pinned: torch 2.15.0, transformers 5.24.0, peft 0.21.2, safetensors; float32 on a CPU. The folders beside this file are
  cases.py . phi3 olmo2 gemma2 gpt2 gpt_neox
"""
import copy, json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import torch.nn.functional as F
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file

ALPHA, BETA, VOCAB, HIDDEN, END = 0.2, 0.1, 32, 8, 2
STEP = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-5, "weight_decay": 0.01, "max_grad_norm": 1.0}
SIZES = dict(vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=END, pad_token_id=0)
GQA = dict(SIZES, num_key_value_heads=1)
GEMMA = dict(GQA, head_dim=4, query_pre_attn_scalar=6, sliding_window=6)
# name: configuration, targets of the adapter
CASES = {
    "phi3": (lambda: transformers.Phi3Config(**GQA, sliding_window=6, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}),
             ["qkv_proj", "gate_up_proj", "o_proj"]),
    "olmo2": (lambda: transformers.Olmo2Config(**GQA), ["v_proj", "o_proj", "down_proj"]),
    "gemma2": (lambda: transformers.Gemma2Config(**GEMMA, attn_logit_softcapping=5.0, final_logit_softcapping=3.0), ["q_proj", "up_proj"]),
    "gpt2": (lambda: transformers.GPT2Config(vocab_size=VOCAB, n_embd=HIDDEN, n_inner=12, n_layer=2, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=END, pad_token_id=0),
             ["c_attn", "mlp.c_proj"]),
    "gpt_neox": (lambda: transformers.GPTNeoXConfig(**SIZES, rotary_pct=0.5), ["query_key_value", "dense_4h_to_h"]),
    # Settings that the above and the other stored cases do not have.
    "llama-linear": (lambda: transformers.LlamaConfig(**GQA, attention_bias=True, mlp_bias=True, rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}), ["o_proj"]),
    "mistral-whole": (lambda: transformers.MistralConfig(**GQA, sliding_window=None), ["v_proj"]),
    "qwen2-window": (lambda: transformers.Qwen2Config(**GQA, use_sliding_window=True, sliding_window=5, max_window_layers=1), ["k_proj"]),
    "qwen3-bias": (lambda: transformers.Qwen3Config(**GQA, head_dim=4, attention_bias=True, use_sliding_window=True, sliding_window=5, max_window_layers=0), ["k_proj"]),
    "gemma3-linear": (lambda: transformers.Gemma3TextConfig(**dict(GEMMA, num_hidden_layers=3), final_logit_softcapping=4.0, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                      rope_parameters={"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6}, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}), ["k_proj", "o_proj"]),
    "phi-tied": (lambda: transformers.PhiConfig(**SIZES, tie_word_embeddings=True, hidden_act="gelu"), ["dense", "fc1"]),
    "gpt_neox-sequential": (lambda: transformers.GPTNeoXConfig(**SIZES, rotary_pct=1.0, use_parallel_residual=False, attention_bias=False), ["dense"]),
    "gpt2-untied": (lambda: transformers.GPT2Config(vocab_size=VOCAB, n_embd=HIDDEN, n_layer=2, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=END, tie_word_embeddings=False), ["c_proj", "c_fc"]),
}


def randomize(model):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.add_(torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.25))


def sequence(n):
    return torch.randint(3, VOCAB, (n,)).tolist()


def make_pairs():
    pairs = []
    for prompt, chosen, rejected in [(9, 5, 10), (5, 8, 3), (12, 4, 6)]:
        pairs.append({"prompt": [1] + sequence(prompt - 1), "chosen": sequence(chosen) + [END], "rejected": sequence(rejected) + [END]})
    pairs[0]["rejected"][:2] = pairs[0]["chosen"][:2]  # begin alike
    return pairs


def run(model, score, prompt, response):
    """The score, the response's summed log-probability, and hidden states and logits of every position."""
    out = model(input_ids=torch.tensor([prompt + response]), output_hidden_states=True)
    hidden, logits = out.hidden_states[-1][0], out.logits[0].float()
    logps = F.log_softmax(logits[len(prompt) - 1 : -1], -1)
    return (hidden[-1] @ score.T)[0], logps.gather(1, torch.tensor(response)[:, None]).sum(), hidden, logits


def losses(model, score, pairs, refs, tensors=None):
    scores, logps = {}, {}
    for side in ("chosen", "rejected"):
        rows = [run(model, score, p["prompt"], p[side]) for p in pairs]
        scores[side], logps[side] = torch.stack([r[0] for r in rows]), torch.stack([r[1] for r in rows])
        if tensors is not None:
            for i, r in enumerate(rows):
                tensors[f"hidden.{i}.{side}"], tensors[f"logits.{i}.{side}"] = r[2].detach().clone(), r[3].detach().clone()
    reward = -F.logsigmoid(scores["chosen"] - scores["rejected"]).mean()
    ratio = (logps["chosen"] - refs["chosen"]) - (logps["rejected"] - refs["rejected"])
    policy = -F.logsigmoid(BETA * ratio).mean()
    return reward + ALPHA * policy, reward, policy, scores, logps


def references(model, score, pairs):
    with torch.no_grad():
        return {side: torch.stack([run(model, score, p["prompt"], p[side])[1] for p in pairs]) for side in ("chosen", "rejected")}


def write(folder, model, pairs, refs, step):
    score = torch.nn.Parameter(torch.randn(1, HIDDEN) * 0.5)
    tensors = {"score.weight": score.detach().clone()}
    total, reward, policy, scores, logps = losses(model, score, pairs, refs, tensors if step else None)
    total.backward()
    params = [(n, p) for n, p in model.named_parameters() if p.grad is not None and p.requires_grad] + [("score.weight", score)]
    for name, p in params:
        tensors["grad." + name] = p.grad.clone()
    norm = torch.nn.utils.clip_grad_norm_([p for _, p in params], STEP["max_grad_norm"])
    expected = {"alpha": ALPHA, "beta": BETA, "pairs": pairs}
    for side in ("chosen", "rejected"):
        expected[side + "_scores"], expected[side + "_logps"] = scores[side].tolist(), logps[side].tolist()
        expected[f"ref_{side}_logps"] = refs[side].tolist()
    expected.update(reward_loss=reward.item(), policy_loss=policy.item(), loss=total.item(), grad_norm=norm.item())
    if step:
        torch.optim.AdamW([p for _, p in params], lr=STEP["lr"], betas=STEP["betas"], eps=STEP["eps"], weight_decay=STEP["weight_decay"]).step()
        with torch.no_grad():
            total, reward, policy, _, _ = losses(model, score, pairs, refs)
        expected["after_one_adamw_step"] = dict(STEP, reward_loss=reward.item(), policy_loss=policy.item(), loss=total.item())
    with open(os.path.join(folder, "expected.json"), "w") as f:
        json.dump(expected, f)
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(folder, "expected.safetensors"))


def case(folder, seed, config, targets):
    torch.manual_seed(seed)
    config._attn_implementation = "eager"
    make = lambda: transformers.AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=torch.float32, attn_implementation="eager").eval()
    model, reference = make(), make()
    randomize(model), randomize(reference)
    model.save_pretrained(folder)
    reference.save_pretrained(os.path.join(folder, "reference"))
    pairs, score = make_pairs(), torch.zeros(1, HIDDEN)
    plain = copy.deepcopy(model)
    write(folder, model, pairs, references(reference, score, pairs), True)
    refs = references(plain, score, pairs)
    adapted = get_peft_model(plain, LoraConfig(r=2, lora_alpha=3, target_modules=targets, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for name, p in adapted.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.2)
    adapted.eval().save_pretrained(os.path.join(folder, "adapter"))
    path = os.path.join(folder, "adapter", "adapter_config.json")
    settings = dict(json.load(open(path)), base_model_name_or_path="..", target_modules=sorted(targets))
    with open(path, "w") as f:
        json.dump(settings, f, indent=2, sort_keys=True)
    write(os.path.join(folder, "adapter"), adapted, pairs, refs, False)
    for extra in ("README.md", "generation_config.json"):
        for sub in (".", "adapter", "reference"):
            if os.path.exists(os.path.join(folder, sub, extra)):
                os.remove(os.path.join(folder, sub, extra))


out, names = sys.argv[1], sys.argv[2:] or list(CASES)
for name in names:
    config, targets = CASES[name]
    case(os.path.join(out, name), 1 + list(CASES).index(name), config(), targets)
    print(name)
