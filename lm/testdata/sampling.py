"""Writes sampling.json: what the logits processors of transformers leave of a distribution, for lm/sample_test.go.

    python sampling.py > sampling.json        (transformers 5.x, torch)
"""
import json

import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor
from transformers.generation.logits_process import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

torch.manual_seed(7)
cases = []
for settings in [
    {"Temperature": 1.0}, {"Temperature": 0.5}, {"Temperature": 1.7, "TopK": 5}, {"Temperature": 1.0, "TopK": 4}, {"Temperature": 0.8, "TopP": 0.85},
    {"Temperature": 1.0, "TopP": 0.3}, {"Temperature": 1.0, "TopP": 0.999}, {"Temperature": 1.2, "MinP": 0.1},
    {"Temperature": 0.9, "TopK": 12, "TopP": 0.9, "MinP": 0.05, "RepetitionPenalty": 1.3}, {"Temperature": 1.0, "RepetitionPenalty": 0.8},
]:
    logits = (torch.randn(40) * 3).round(decimals=3)
    logits[17] = logits[3]  # equals
    prompt = [3, 8, 8, 21]
    chain = LogitsProcessorList()
    if "RepetitionPenalty" in settings:
        chain.append(RepetitionPenaltyLogitsProcessor(settings["RepetitionPenalty"]))
    chain.append(TemperatureLogitsWarper(settings["Temperature"]))
    if "TopK" in settings:
        chain.append(TopKLogitsWarper(settings["TopK"]))
    if "TopP" in settings:
        chain.append(TopPLogitsWarper(settings["TopP"]))
    if "MinP" in settings:
        chain.append(MinPLogitsWarper(settings["MinP"]))
    left = chain(torch.tensor([prompt]), logits[None].clone())
    cases.append({"settings": settings, "prompt": prompt, "logits": logits.tolist(), "probabilities": left.softmax(-1)[0].tolist()})
print(json.dumps(cases))
