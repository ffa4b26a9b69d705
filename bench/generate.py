"""The peer of lm's BenchmarkGenerate: transformers' generate on the same prompts.

    python bench/generate.py MODEL_DIR [repeats]

Prints new tokens a second: 8 rows, prompts of 96 to 131 tokens, 128 new tokens each, greedy, float32, CPU.
"""
import sys
import time

import torch
from transformers import AutoModelForCausalLM

ROWS, FRESH = 8, 128

model = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32).eval()
prompts = [[(p * p * 31 + i * 977 + p * 7) % 40000 + 100 for p in range(96 + 5 * i)] for i in range(ROWS)]
longest = max(map(len, prompts))
tokens = torch.tensor([[0] * (longest - len(p)) + p for p in prompts])
mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])


def run():
    with torch.no_grad():
        return model.generate(tokens, attention_mask=mask, do_sample=False, min_new_tokens=FRESH, max_new_tokens=FRESH, pad_token_id=0)


run()
for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3):
    began = time.perf_counter()
    run()
    seconds = time.perf_counter() - began
    print(f"{ROWS * FRESH / seconds:.1f} tokens/s, {seconds:.2f} s", flush=True)
