"""One batch of labelled responses and one of graded ones, as PyTorch computes their losses.

    python singles.py > singles.json

The policy is ../../lm/testdata/llama and its reference the folder reference in it. KTO's loss, its
KL and its mismatched responses are those of TRL's KTOTrainer; the binary cross-entropy of the score
head and the regression on attributes are torch's, every sequence alone. Of every gradient the file
has the norm and the product with the weight. Versions: torch 2.15.0, transformers 5.24.0, TRL
1.16.0; float32 on a CPU.
"""
import json, os, sys, tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
import torch.nn.functional as F
from datasets import Dataset
from safetensors import safe_open
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
from trl import KTOConfig, KTOTrainer

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../lm/testdata/llama")
ALPHA, BETA, DESIRABLE, UNDESIRABLE, VOCAB, END = 0.3, 0.1, 1.0, 1.5, 160, 2
torch.manual_seed(12)


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def sequence(n):
    return torch.randint(3, VOCAB, (n,)).tolist()


def text(ids):
    return " ".join(f"t{i:03}" for i in ids)


lengths = [(9, 5), (5, 8), (12, 4), (7, 9), (4, 6), (10, 3)]
rows = [{"prompt": [1] + sequence(p - 1), "response": sequence(r) + [END], "label": i in (0, 2, 3, 5)} for i, (p, r) in enumerate(lengths)]
words = Tokenizer(models.WordLevel({f"t{i:03}": i for i in range(VOCAB)}, unk_token="t000"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token="t001", eos_token="t002", pad_token="t000")
data = Dataset.from_list([{"prompt": text(r["prompt"]) + " ", "completion": text(r["response"]), "label": r["label"]} for r in rows])

policy, reference = load(FOLDER), load(os.path.join(FOLDER, "reference"))
config = KTOConfig(
    output_dir=tempfile.mkdtemp(), per_device_train_batch_size=len(rows), beta=BETA, desirable_weight=DESIRABLE,
    undesirable_weight=UNDESIRABLE, max_length=None, bf16=False, use_cpu=True, gradient_checkpointing=False, report_to=[],
)
trainer = KTOTrainer(model=policy, ref_model=reference, args=config, train_dataset=data, processing_class=tokenizer)
for row, made in zip(rows, trainer.train_dataset):
    assert made["prompt_ids"] == row["prompt"] and made["completion_ids"] == row["response"], (row, made)
    row["other"] = made["KL_completion_ids"]
batch = next(iter(trainer.get_train_dataloader()))
model = trainer.model.train()  # there is no dropout
kto = trainer.compute_loss(model, batch)
kl = trainer._metrics["train"]["kl"][-1]

with safe_open(os.path.join(FOLDER, "expected.safetensors"), "pt") as f:
    score = torch.nn.Parameter(f.get_tensor("score.weight"))


def last(row, key="response"):  # the state that the score head reads
    return model(input_ids=torch.tensor([row["prompt"] + row[key]]), output_hidden_states=True).hidden_states[-1][0, -1]


def logp(which, row, key):
    logits = which(input_ids=torch.tensor([row["prompt"] + row[key]])).logits[0].float()
    logps = F.log_softmax(logits[len(row["prompt"]) - 1 : -1], -1)
    return logps.gather(1, torch.tensor(row[key])[:, None]).sum().item()


with torch.no_grad():
    for row in rows:
        row["logps"] = [logp(model, row, key) for key in ("response", "other")]
        row["refs"] = [logp(reference, row, key) for key in ("response", "other")]

labels = torch.tensor([float(r["label"]) for r in rows])
bce = F.binary_cross_entropy_with_logits(torch.stack([last(r) @ score[0] for r in rows]), labels)
total = bce + ALPHA * kto
total.backward()


def gradients(head):
    out, params = {}, [*model.named_parameters(), ("score.weight", head)]
    for name, p in params:
        if p.grad is not None:
            out[name] = [p.grad.norm().item(), (p.grad.double() * p.detach().double()).sum().item()]
    norm = torch.sqrt(sum((p.grad.double() ** 2).sum() for _, p in params if p.grad is not None)).item()
    for _, p in params:
        p.grad = None
    return out, norm


by_name, norm = gradients(score)
labelled = {
    "alpha": ALPHA, "beta": BETA, "desirable_weight": DESIRABLE, "undesirable_weight": UNDESIRABLE, "rows": rows,
    "reward_loss": bce.item(), "policy_loss": kto.item(), "loss": total.item(), "kl": kl, "grad_norm": norm, "gradients": by_name,
}

# Attributes from 0 to 4, some not stated; the last row has none and is no part of the mean.
NAMES = ["helpfulness", "correctness", "verbosity"]
head = torch.nn.Parameter((torch.randn(len(NAMES), score.shape[1]) * 0.5).float())
grades = torch.randint(0, 5, (len(rows), len(NAMES))).double()
stated = torch.rand(len(rows), len(NAMES)) < 0.7
stated[0], stated[-1] = True, False
outputs = torch.stack([head @ last(r) for r in rows])
errors = F.mse_loss(outputs, grades.float(), reduction="none") * stated
each = errors.sum(1)[stated.any(1)] / stated.sum(1)[stated.any(1)]
each.mean().backward()
by_name, norm = gradients(head)
graded = {
    "attributes": NAMES, "head": head.tolist(), "outputs": outputs.tolist(), "loss": each.mean().item(), "grad_norm": norm, "gradients": by_name,
    "grades": [[y if s else None for y, s in zip(*row)] for row in zip(grades.tolist(), stated.tolist())],
}
json.dump({"labelled": labelled, "graded": graded}, sys.stdout, indent=1)
