"""The hybrid step in PyTorch on one GPU, as the paper's code makes it, to measure haf against on the same pairs.

usage: hybrid_gpu.py MODEL_DIR DATA.jsonl.gz [--pairs N] [--batch B] [--rank R] [--full] [--dtype D] [--attention A]
Needs torch, transformers and peft. Padded batches of prompt and response, logits at every position, the reference run at every step (the
adapter switched off, or a second model). DATA holds HH transcripts; the first N pairs of at most 512 tokens. Prints one line of JSON;
the first steps, where kernels are chosen, are left out of the rate.
"""
import argparse, gzip, json, statistics, time
import torch, torch.nn.functional as F, transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("model"), parser.add_argument("data")
parser.add_argument("--pairs", type=int, default=512), parser.add_argument("--batch", type=int, default=32)
parser.add_argument("--rank", type=int, default=64), parser.add_argument("--full", action="store_true")
parser.add_argument("--device", default="cuda"), parser.add_argument("--dtype", default="bfloat16"), parser.add_argument("--attention", default="sdpa")
args = parser.parse_args()
device, dtype = torch.device(args.device), getattr(torch, args.dtype)
tokenizer = AutoTokenizer.from_pretrained(args.model)


def turns(text):
    messages, role = [], None
    for part in text.replace("\n\nAssistant:", "\n\nHuman:\0").split("\n\nHuman:")[1:]:
        role = "assistant" if part.startswith("\0") else "user"
        messages.append({"role": role, "content": part.lstrip("\0").strip()})
    return messages


pairs = []
with gzip.open(args.data, "rt") as lines:
    for line in lines:
        row = json.loads(line)
        chosen, rejected = turns(row["chosen"]), turns(row["rejected"])
        if len(chosen) < 2 or chosen[:-1] != rejected[:-1] or chosen[-1]["role"] != "assistant" or not chosen[-1]["content"] or not rejected[-1]["content"]:
            continue
        prompt = tokenizer.apply_chat_template(chosen[:-1], add_generation_prompt=True, tokenize=False)
        prompt = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        c, r = (tokenizer(m[-1]["content"], add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id] for m in (chosen, rejected))
        if len(prompt) + max(len(c), len(r)) <= 512:
            pairs.append((prompt, c, r))
        if len(pairs) == args.pairs:
            break

model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation=args.attention).to(device)
reference = None
if args.full:
    reference = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation=args.attention).to(device).eval()
else:
    from peft import LoraConfig, get_peft_model
    model = get_peft_model(model, LoraConfig(r=args.rank, lora_alpha=16, lora_dropout=0.0, target_modules=["gate_proj", "up_proj", "down_proj"]))
score = torch.nn.Linear(model.config.hidden_size, 1, bias=False, dtype=torch.float32, device=device)
torch.nn.init.zeros_(score.weight)
trained = [p for p in model.parameters() if p.requires_grad] + [score.weight]
optimizer = torch.optim.AdamW(trained, lr=3e-5, eps=1e-5)


def read(m, batch):
    "The rewards and the log-probabilities of the responses, the chosen ones first."
    inner = m.get_base_model() if hasattr(m, "get_base_model") else m
    rows = [(p + c, len(p)) for p, c, _ in batch] + [(p + r, len(p)) for p, _, r in batch]
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), tokenizer.pad_token_id)
    attended, counted = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest - 1)
    for i, (row, begin) in enumerate(rows):
        ids[i, : len(row)], attended[i, : len(row)], counted[i, begin - 1 : len(row) - 1] = torch.tensor(row), 1, 1
    last = attended.sum(1) - 1
    ids, attended, counted, last = (t.to(device) for t in (ids, attended, counted, last))
    hidden = inner.model(input_ids=ids, attention_mask=attended, use_cache=False).last_hidden_state
    logprobs = torch.log_softmax(inner.lm_head(hidden).float()[:, :-1], -1).gather(2, ids[:, 1:, None])[..., 0]
    return score(hidden[torch.arange(len(rows), device=device), last].float())[:, 0], (logprobs * counted).sum(-1)


seconds, first = [], None
for at in range(0, len(pairs) - args.batch + 1, args.batch):
    if device.type == "cuda":
        torch.cuda.synchronize()
    began, batch = time.perf_counter(), pairs[at : at + args.batch]
    with torch.no_grad():
        if reference is not None:
            _, before = read(reference, batch)
        else:
            with model.disable_adapter():
                _, before = read(model, batch)
    rewards, logprobs = read(model, batch)
    ratio, n = logprobs - before, len(batch)
    loss = -F.logsigmoid(rewards[:n] - rewards[n:]).mean() - 0.2 * F.logsigmoid(0.1 * (ratio[:n] - ratio[n:])).mean()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds.append(time.perf_counter() - began)
    first = loss.item() if first is None else first
measured = seconds[2:]
tokens = sum(2 * len(p) + len(c) + len(r) for p, c, r in pairs) / len(pairs)
print(json.dumps({
    "rate": args.batch * len(measured) / sum(measured), "unit": "pairs/s", "median_step_s": statistics.median(measured), "pairs": len(pairs),
    "batch": args.batch, "dtype": args.dtype, "full": args.full, "attention": args.attention, "first_loss": first, "tokens_per_pair": tokens,
    "peak_mb": torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else None, "torch": torch.__version__, "transformers": transformers.__version__}))
