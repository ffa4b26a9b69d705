"""Rewards that transformers gives conversations, by a model that haf saved: transformers_rewards.py MODEL CONVERSATIONS.jsonl

A line of CONVERSATIONS is a list of messages, the response last. Prints for each the reward of the conversation alone and in
a padded batch of all of them, in float32, or null where the template refuses the conversation; then the text. An adapter is read
with PEFT on its base.
Seen with torch 2.15.0, transformers 5.24.0, peft 0.21.2.
"""
import json, os, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder, file = sys.argv[1:]
conversations = [json.loads(line) for line in open(file)]
tokenizer = AutoTokenizer.from_pretrained(folder)
adapter = os.path.join(folder, "adapter_config.json")
if os.path.exists(adapter):
    from peft import PeftModel

    base = json.load(open(adapter))["base_model_name_or_path"]
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id
    model = PeftModel.from_pretrained(model, folder)
else:
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
model.eval()


def rewards(conversations):
    inputs = tokenizer.apply_chat_template(
        conversations, tokenize=True, return_dict=True, padding=len(conversations) > 1, return_tensors="pt"
    )
    with torch.no_grad():
        return model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0].tolist()


texts = []
for conversation in conversations:
    try:
        texts.append(tokenizer.apply_chat_template(conversation, tokenize=False))
    except Exception:
        texts.append(None)
taken = [c for c, text in zip(conversations, texts) if text is not None]
alone, together = [rewards([c])[0] for c in taken], rewards(taken)
for text in texts:
    print(json.dumps(None if text is None else {"alone": alone.pop(0), "batch": together.pop(0), "text": text}))
