"""Makes ppo.json: one PPO update by PyTorch and transformers, every sequence run alone, for TestUpdateEqualsPyTorch.

    python rlhf/testdata/ppo.py lm/testdata/llama > rlhf/testdata/ppo.json

The model is trained in full, with a value head on its last hidden state. Rewards, the probabilities of the policy that drew the
tokens and those of the reference are stored numbers near the model's own, so that ratios are not 1 and some are clipped.
"""
import json
import sys

import torch
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], torch_dtype=torch.float32)
H, V = model.config.hidden_size, model.config.vocab_size
g = torch.Generator().manual_seed(7)
S = dict(clip=0.2, value_clip=0.2, value_coef=0.1, gamma=0.99, lam=0.95, kl=0.05, lr=1e-3, betas=[0.9, 0.999], eps=1e-5, weight_decay=0.01, max_norm=1.0)

draw = lambda n: torch.randint(3, V, (n,), generator=g).tolist()
prompts = [draw(5), draw(3)]
responses = [[draw(6), draw(4)], [draw(1), draw(7)]]
rewards = [[1.5, -0.7], [0.2, 2.1]]
weight = torch.nn.Parameter(torch.randn(1, H, generator=g) * 0.1)
bias = torch.nn.Parameter(torch.tensor([0.3]))


def run(prompt, response):
    """Log-probabilities and values of the response's tokens."""
    ids = torch.tensor([prompt + response])
    hidden = model.model(input_ids=ids).last_hidden_state[0, len(prompt) - 1 : -1]
    logp = torch.log_softmax(model.lm_head(hidden), -1)
    entropy = -(logp.exp() * logp).sum(-1)
    return logp.gather(-1, torch.tensor(response)[:, None])[:, 0], hidden @ weight[0] + bias, entropy


items = []
for p, rs, scores in zip(prompts, responses, rewards):
    for r, score in zip(rs, scores):
        with torch.no_grad():
            logp, value, entropy = run(p, r)
        noise = lambda scale: torch.randn(len(r), generator=g) * scale
        items.append(dict(prompt=p, response=r, score=score, logp=logp, entropy=entropy, model_value=value, old=logp + noise(0.3), ref=logp + noise(0.2), value=value + noise(0.4)))

for it in items:  # GAE on rewards with the KL to the reference (k1) in them, from the old probabilities
    n = len(it["response"])
    reward = -S["kl"] * (it["old"] - it["ref"])
    reward[-1] += it["score"]
    advantage, last = torch.zeros(n), 0.0
    for t in reversed(range(n)):
        after = it["value"][t + 1] if t + 1 < n else 0.0
        last = reward[t] + S["gamma"] * after - it["value"][t] + S["gamma"] * S["lam"] * last
        advantage[t] = last
    it["raw"], it["return"] = advantage, advantage + it["value"]
every = torch.cat([it["raw"] for it in items])
for it in items:
    it["advantage"] = (it["raw"] - every.mean()) * torch.rsqrt(every.var() + 1e-8)


def loss():
    policy, value, clipped, count = 0.0, 0.0, 0.0, sum(len(it["response"]) for it in items)
    for it in items:
        logp, v, _ = run(it["prompt"], it["response"])
        ratio = torch.exp(logp - it["old"])
        plain, bounded = -it["advantage"] * ratio, -it["advantage"] * ratio.clamp(1 - S["clip"], 1 + S["clip"])
        policy = policy + torch.max(plain, bounded).sum() / count
        clipped += (bounded > plain).float().sum().item() / count
        near = it["value"] + (v - it["value"]).clamp(-S["value_clip"], S["value_clip"])
        value = value + 0.5 * torch.max((v - it["return"]) ** 2, (near - it["return"]) ** 2).sum() / count
    return policy + S["value_coef"] * value, policy, value, clipped


params = [p for p in model.parameters()] + [weight, bias]
decays = [p for p in params if p.dim() > 1]
plain = [p for p in params if p.dim() <= 1]
optimizer = torch.optim.AdamW([dict(params=decays, weight_decay=S["weight_decay"]), dict(params=plain, weight_decay=0.0)], lr=S["lr"], betas=S["betas"], eps=S["eps"])
start = dict(value_weight=weight.tolist()[0], value_bias=bias.item())
before = loss()
before[0].backward()
norm = torch.nn.utils.clip_grad_norm_(params, S["max_norm"])
optimizer.step()
after = loss()
number = lambda x: x.tolist() if torch.is_tensor(x) else x
numbers = lambda xs: [number(x) for x in xs]
json.dump(dict(
    settings=S, **start, items=[{k: number(v) for k, v in it.items()} for it in items],
    before=numbers(before), after=numbers(after), grad_norm=norm.item(), value_weight_after=weight.tolist()[0], value_bias_after=bias.item(),
    sums_after={n: [p.sum().item(), p.abs().sum().item()] for n, p in model.named_parameters()},
), sys.stdout, indent=1)
