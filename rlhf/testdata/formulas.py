"""Makes formulas.json: numbers of TRL and PyTorch for TestFormulas.

    python rlhf/testdata/formulas.py > rlhf/testdata/formulas.json

The overlong penalty is TRL's own function, trl.rewards.get_soft_overlong_punishment. What GRPOTrainer and RLOOTrainer do inside
their loops is written out here in float64: the weighted sum of several rewards, its advantages in groups, the statistics that are
logged for each reward, and the share of groups without spread.
"""
import json
import sys

import torch
import trl
from trl.rewards import get_soft_overlong_punishment

torch.set_default_dtype(torch.float64)
K = 4  # responses to a prompt

overlong = []
for longest, cache in [(100, 20), (128, 128), (40, 10), (64, 1)]:
    lengths = sorted({1, longest - cache, longest - cache + 1, longest - cache // 2, longest - 1, longest, longest + 1, 3 * longest} - {0})
    values = get_soft_overlong_punishment(longest, cache)([[7] * n for n in lengths])
    overlong.append(dict(max_length=longest, cache=cache, lengths=lengths, rewards=values))

g = torch.Generator().manual_seed(3)
weights = torch.tensor([0.3, -1.5, 2.0])
rewards = torch.randn(6 * K, 3, generator=g)
rewards[:, 0] = (rewards[:, 0] > 0).double()  # a rule
rewards[1 * K : 2 * K] = rewards[1 * K]  # two groups of equal rewards
rewards[4 * K : 5 * K] = rewards[4 * K]
total = (rewards * weights).sum(1)
grouped = total.view(-1, K)
std = grouped.std(1)
grpo = (grouped - grouped.mean(1, keepdim=True)) / (std[:, None] + 1e-4)
rloo = grouped - (grouped.sum(1, keepdim=True) - grouped) / (K - 1)
json.dump(
    dict(
        made_by=f"trl {trl.__version__}, torch {torch.__version__}",
        overlong=overlong,
        weights=weights.tolist(),
        rewards=rewards.view(-1, K, 3).tolist(),
        sums=grouped.tolist(),
        mean=total.mean().item(),
        std=total.std().item(),
        means=rewards.mean(0).tolist(),
        stds=rewards.std(0).tolist(),
        zero_std=torch.isclose(std, torch.zeros_like(std)).double().mean().item(),
        grpo=grpo.tolist(),
        rloo=rloo.tolist(),
    ),
    sys.stdout,
    indent=1,
)
print()
