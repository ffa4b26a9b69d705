"""Rewards of a model that haf saved, by transformers: AutoModelForSequenceClassification, PEFT for an adapter.

usage: transformers_rewards.py MODEL_DIR SAMPLES.jsonl     lines of {prompt, response}; the prompt is text or messages
Prints one reward a line, each sample run alone in float32. Seen with torch 2.15.0, transformers 5.24.0, peft 0.21.2.
"""
import json, os, sys
os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder, samples = sys.argv[1:]
tok = AutoTokenizer.from_pretrained(folder)
adapter = os.path.join(folder, "adapter_config.json")
if os.path.exists(adapter):
    from peft import PeftModel
    base = json.load(open(adapter))["base_model_name_or_path"]
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tok.pad_token_id
    model = PeftModel.from_pretrained(model, folder)
else:
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
model.eval()
for line in open(samples):
    row = json.loads(line)
    prompt = row["prompt"] if isinstance(row["prompt"], list) else [{"role": "user", "content": row["prompt"]}]
    text = tok.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    ids = tok(text, add_special_tokens=False)["input_ids"] + tok(row["response"], add_special_tokens=False)["input_ids"] + [tok.eos_token_id]
    with torch.no_grad():
        print("%.6f" % model(input_ids=torch.tensor([ids])).logits[0, 0].item())
