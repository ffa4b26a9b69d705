"""Reference values of haf's losses, by torch's autograd in float64 and, for the links, mpmath:

    python losses.py > losses.json

The formulas are written from the papers, with torch's own functions where it has them, not from haf's.
"""
import json
import mpmath
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
g = torch.Generator().manual_seed(7)
N = 12
BETA, EPS, GAMMA, WIDTH, TIE, ETA, DF = 0.1, 0.15, 0.3, 1.0, 1 / 3, 0.8, 3.0


def normal(n, scale, mean=0.0):
    # Through float32, so that the values are the same in both precisions.
    return (torch.randn(n, generator=g) * scale + mean).float().double()


inputs = {
    "chosen_score": normal(N, 1.5), "rejected_score": normal(N, 1.5),
    "chosen_logp": normal(N, 8, -40), "rejected_logp": normal(N, 8, -40),
    "chosen_ref": normal(N, 8, -42), "rejected_ref": normal(N, 8, -40),
    "margin": normal(N, 1).abs().float().double(),
}
tokens = [torch.randint(1, 40, (N,), generator=g).double() for _ in range(2)]
tie = torch.tensor([i % 3 == 2 for i in range(N)])


def leaf(name):
    return inputs[name].clone().requires_grad_(True)


def ls(x):
    return F.logsigmoid(x)


def case(names, loss):
    leaves = {n: leaf(n) for n in names}
    each = loss(*leaves.values())
    each.mean().backward()
    return {"loss": each.mean().item(), "gradients": {n: x.grad.tolist() for n, x in leaves.items()}}


def eta_of():
    return torch.log(torch.tensor((1 + TIE) / (1 - TIE)))


def rao_kupper(d):
    theta = (1 + TIE) / (1 - TIE)
    a, b = torch.exp(d / 2), torch.exp(-d / 2)
    win = a / (a + theta * b)
    tied = (theta**2 - 1) * a * b / ((a + theta * b) * (b + theta * a))
    return -torch.log(torch.where(tie, tied, win))


def davidson(d):
    nu = 2 * TIE / (1 - TIE)
    a, b = torch.exp(d), torch.ones_like(d)
    z = a + b + nu * torch.sqrt(a * b)
    return -torch.log(torch.where(tie, nu * torch.sqrt(a * b) / z, a / z))


S = ["chosen_score", "rejected_score"]
m = inputs["margin"]
reward = {
    "bradley-terry": case(S, lambda c, r: -ls(c - r)),
    "margin": case(S, lambda c, r: -ls(c - r - m)),
    "scaled": case(S, lambda c, r: -m * ls(c - r)),
    "smoothed": case(S, lambda c, r: F.binary_cross_entropy_with_logits(c - r, torch.full((N,), 1 - EPS), reduction="none")),
    "robust": case(S, lambda c, r: (-(1 - EPS) * ls(c - r) + EPS * ls(r - c)) / (1 - 2 * EPS)),
    "hinge": case(S, lambda c, r: F.margin_ranking_loss(c, r, torch.ones(N), margin=WIDTH, reduction="none")),
    "norm-bt": case(S, lambda c, r: -ls((c - r) / torch.sqrt(c**2 + r**2 + 0.01))),
    "eurus": case(S, lambda c, r: -ls(c - r) - ls(c) - ls(-r)),
    "rao-kupper": case(S, lambda c, r: rao_kupper(c - r)),
    "davidson": case(S, lambda c, r: davidson(c - r)),
    "center": case(S, lambda c, r: (c + r) ** 2),
    "l2": case(S, lambda c, r: (c**2 + r**2) / 2),
    "batch_sum": case(S, lambda c, r: torch.cat([c, r]).mean() ** 2 * torch.ones(N)),
    "gaussian": case(S, lambda c, r: -torch.special.log_ndtr(c - r)),
    "laplace": case(S, lambda c, r: -torch.log(torch.distributions.Laplace(0.0, 1.0).cdf(c - r))),
    "cauchy": case(S, lambda c, r: -torch.log(torch.distributions.Cauchy(0.0, 1.0).cdf(c - r))),
}

L = ["chosen_logp", "rejected_logp"]
rc, rr = inputs["chosen_ref"], inputs["rejected_ref"]
tc, tr = tokens


def h(c, r):
    return (c - rc) - (r - rr)


def kto(c, r):  # as TRL had it, with the estimates of the KL detached
    c, r = c - rc, r - rr
    zc, zr = c.mean().clamp(min=0).detach(), r.mean().clamp(min=0).detach()
    return (1 - torch.sigmoid(BETA * (c - zr))) / 2 + (1 - torch.sigmoid(BETA * (zc - r))) / 2


def bernoulli_kl(a, b):  # KL(σ(a) ‖ σ(b))
    return torch.distributions.kl_divergence(torch.distributions.Bernoulli(logits=a), torch.distributions.Bernoulli(logits=b))


policy = {
    "dpo": case(L, lambda c, r: -ls(BETA * h(c, r))),
    "dpo-free": case(L, lambda c, r: -ls(BETA * (c - r))),
    "dpo-norm": case(L, lambda c, r: -ls(BETA * ((c - rc) / tc - (r - rr) / tr))),
    "cdpo": case(L, lambda c, r: -(1 - EPS) * ls(BETA * h(c, r)) - EPS * ls(-BETA * h(c, r))),
    "robust": case(L, lambda c, r: (-(1 - EPS) * ls(BETA * h(c, r)) + EPS * ls(-BETA * h(c, r))) / (1 - 2 * EPS)),
    "hinge": case(L, lambda c, r: torch.relu(WIDTH - BETA * h(c, r))),
    "ipo": case(L, lambda c, r: (h(c, r) - 1 / (2 * BETA)) ** 2),
    "ipo-sqrt": case(L, lambda c, r: BETA * (h(c, r) - 1 / (2 * BETA)) ** 2),
    "ipo-full": case(L, lambda c, r: (BETA * h(c, r) - 0.5) ** 2),
    "slic": case(L, lambda c, r: torch.relu(WIDTH - BETA * (c - r))),
    "sft": case(L, lambda c, r: -c / tc + 0 * r),
    "sft-sum": case(L, lambda c, r: -c + 0 * r),
    "simpo": case(L, lambda c, r: -ls(BETA * (c / tc - r / tr) - GAMMA)),
    "kto-pair": case(L, kto),
    "dpo-rao-kupper": case(L, lambda c, r: rao_kupper(BETA * h(c, r))),
    "dpo-davidson": case(L, lambda c, r: davidson(BETA * h(c, r))),
    "rpo-sq": case(L, lambda c, r: (BETA * h(c, r) - ETA * m) ** 2 / 2),
    "rpo-bwd-kl": case(L, lambda c, r: bernoulli_kl(ETA * m, BETA * h(c, r))),
    "rpo-fwd-kl": case(L, lambda c, r: bernoulli_kl(BETA * h(c, r), ETA * m)),
}

# One group of K responses, ranked from the first to the last.
K = 5
group = {"scores": normal(K, 1.5), "logps": normal(K, 8, -40), "refs": normal(K, 8, -40), "targets": torch.sort(normal(K, 1.5), descending=True).values}


def whole(name, loss):
    x = group[name].clone().requires_grad_(True)
    value = loss(x)
    value.backward()
    return {"loss": value.item(), "gradient": x.grad.tolist()}


def plackett_luce(s):
    later = torch.flip(torch.logcumsumexp(torch.flip(s, [0]), 0), [0])
    return (later - s)[:-1].sum()


def rpo_group(kind):
    def loss(logps):
        a, b = BETA * (logps - group["refs"]), ETA * group["targets"]
        if kind == "sq":
            d = a - b
            return ((d - d.mean()) ** 2).sum()
        q, p = torch.distributions.Categorical(logits=a), torch.distributions.Categorical(logits=b)
        return torch.distributions.kl_divergence(p, q) if kind == "bwd-kl" else torch.distributions.kl_divergence(q, p)
    return loss


groups = {"plackett-luce": whole("scores", plackett_luce), **{f"rpo-{k}-group": whole("logps", rpo_group(k)) for k in ("sq", "bwd-kl", "fwd-kl")}}

# Labelled responses, some desirable, with responses to other prompts for the estimate of the KL.
# Their mean log-ratio is positive, so the clamp leaves the point as it is.
M, DESIRABLE, UNDESIRABLE = 9, 1.0, 1.7
label = torch.tensor([i % 3 != 1 for i in range(M)])
labels = {"score": normal(M, 1.5), "logp": normal(M, 8, -40), "ref": normal(M, 8, -42), "other_logp": normal(M, 8, -40), "other_ref": normal(M, 8, -44)}


def of_labels(name, loss):
    x = labels[name].clone().requires_grad_(True)
    value = loss(x).mean()
    value.backward()
    return {"loss": value.item(), "gradient": x.grad.tolist()}


def kto_unpaired(point):  # as TRL's KTOTrainer computes it
    def loss(logp):
        ratio = logp - labels["ref"]
        kl = (labels["other_logp"] - labels["other_ref"]).mean().clamp(min=0).detach() if point else 0.0
        chosen = 1 - torch.sigmoid(BETA * (ratio[label] - kl))
        rejected = 1 - torch.sigmoid(BETA * (kl - ratio[~label]))
        return torch.cat((DESIRABLE * chosen, UNDESIRABLE * rejected), 0)
    return loss


of_label = {
    "bce": of_labels("score", lambda s: F.binary_cross_entropy_with_logits(s, label.double(), reduction="none")),
    "kto": of_labels("logp", kto_unpaired(True)),
    "apo-zero": of_labels("logp", kto_unpaired(False)),
}

# Responses with attributes from 0 to 4, some of them not stated (null).
ROWS, ATTRIBUTES = 6, 5
outputs = normal(ROWS * ATTRIBUTES, 1.5, 2).reshape(ROWS, ATTRIBUTES)
attributes = torch.randint(0, 5, (ROWS, ATTRIBUTES), generator=g).double()
stated = torch.rand(ROWS, ATTRIBUTES, generator=g) < 0.7
stated[0], stated[1] = True, False  # a row with all, one with none: it is no part of the mean
x = outputs.clone().requires_grad_(True)
errors = F.mse_loss(x, attributes, reduction="none") * stated
rows = errors.sum(1)[stated.any(1)] / stated.sum(1)[stated.any(1)]
rows.mean().backward()
regression = {
    "outputs": outputs.tolist(), "loss": rows.mean().item(), "gradient": x.grad.tolist(),
    "attributes": [[y if s else None for y, s in zip(*row)] for row in zip(attributes.tolist(), stated.tolist())],
}

mpmath.mp.dps = 60


def log_cdf(link, z, df=None):
    z = mpmath.mpf(z)
    if link == "logistic":
        return mpmath.log1p(mpmath.exp(-z))
    if link == "gaussian":
        return -mpmath.log(mpmath.erfc(-z / mpmath.sqrt(2)) / 2)
    if link == "laplace":
        return -mpmath.log(mpmath.exp(z) / 2 if z < 0 else 1 - mpmath.exp(-z) / 2)
    if link == "cauchy":
        return -mpmath.log(mpmath.atan2(1, -z) / mpmath.pi)
    tail = mpmath.betainc(mpmath.mpf(df) / 2, 0.5, 0, df / (df + z * z), regularized=True) / 2
    return -mpmath.log(tail if z < 0 else 1 - tail)


grid = [-1000.0, -100.0, -30.0, -12.0, -6.0, -3.0, -2.0, -1.75, -1.5, -1.25, -1.0, -0.75, -0.5, -0.125, 0.0, 0.125, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 3.0, 6.0, 9.0]
links = []
for link, df in [("logistic", None), ("gaussian", None), ("laplace", None), ("cauchy", None)] + [("student-t", d) for d in (0.5, 2.0, 3.0, 4.5, 10.0, 30.0, 100.0)]:
    links.append({
        "link": link, "df": df or 0,
        "loss": [float(log_cdf(link, z, df)) for z in grid],
        "slope": [float(mpmath.diff(lambda t: log_cdf(link, t, df), z, h=mpmath.mpf(10) ** -20, direction=1 if z >= 0 else -1)) for z in grid],
    })


def plain(x):
    return x.tolist() if isinstance(x, torch.Tensor) else x


print(json.dumps({
    "settings": {"beta": BETA, "epsilon": EPS, "gamma": GAMMA, "width": WIDTH, "tie_rate": TIE, "eta": ETA},
    "inputs": {k: plain(v) for k, v in inputs.items()}, "chosen_tokens": [int(x) for x in tc], "rejected_tokens": [int(x) for x in tr],
    "tie": tie.tolist(), "reward": reward, "policy": policy,
    "group": {k: plain(v) for k, v in group.items()}, "groups": groups, "grid": grid, "links": links,
    "labels": {"desirable": label.tolist(), "desirable_weight": DESIRABLE, "undesirable_weight": UNDESIRABLE, "inputs": {k: plain(v) for k, v in labels.items()}, "losses": of_label},
    "regression": regression,
}, indent=1))
