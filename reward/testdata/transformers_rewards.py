"""Rewards that transformers gives conversations, by models that haf saved.

usage: transformers_rewards.py PAGE.md CONVERSATIONS.jsonl MODEL...

A line of CONVERSATIONS is a list of messages, the response last. For each model and conversation a line says its reward alone and
in a padded batch of all of them, in float32, and the text of the template; null where the template refuses the conversation.
The lines that read a model are those that PAGE.md shows: the first Python block for a model, the second for an adapter.
Seen with torch 2.15.0, transformers 5.24.0, peft 0.21.2.
"""
import json, os, re, sys

os.environ["HF_HUB_OFFLINE"] = "1"
import torch

torch.set_grad_enabled(False)
blocks = re.findall(r"```python\n(.*?)```", open(sys.argv[1]).read(), re.DOTALL)
asked = [json.loads(line) for line in open(sys.argv[2])]
for folder in sys.argv[3:]:
    code = blocks[os.path.exists(os.path.join(folder, "adapter_config.json"))]

    def read(conversations):
        names = {"MODEL": folder, "conversations": conversations}
        exec(code, names)
        return names["rewards"].tolist(), names["tokenizer"]

    _, tokenizer = read(asked[:1])
    texts = []
    for conversation in asked:
        try:
            texts.append(tokenizer.apply_chat_template(conversation, tokenize=False))
        except Exception:
            texts.append(None)
    taken = [c for c, text in zip(asked, texts) if text is not None]
    together = read(taken)[0]
    alone = [read([c])[0][0] for c in taken]
    for text in texts:
        print(json.dumps(text and {"alone": alone.pop(0), "batch": together.pop(0), "text": text}))
