"""The server that a user would write instead of haf serve: FastAPI around transformers' sequence classifier, as OpenRLHF's serve_rm is.

serve_peer.py MODEL PORT [--dtype float32|bfloat16]

POST /get_reward {"query": [text, …]} gives {"rewards": […]}: the texts of a request are one batch, padded to the longest; one request is read at a time.
"""

import argparse

import torch
import uvicorn
from fastapi import FastAPI, Request
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("port", type=int)
parser.add_argument("--dtype", default="float32")
options = parser.parse_args()
# AutoTokenizer of transformers 5 makes a GPT-2 tokenizer of SmolLM2's and leaves out that digits stand alone: other tokens after "\n\n4".
tokenizer = PreTrainedTokenizerFast.from_pretrained(options.model)
if tokenizer.pad_token_id is None:
    tokenizer.pad_token = tokenizer.eos_token
tokenizer.padding_side = "right"
model = AutoModelForSequenceClassification.from_pretrained(options.model, dtype=getattr(torch, options.dtype)).eval()
app = FastAPI()


@app.post("/get_reward")
async def get_reward(request: Request):
    texts = (await request.json())["query"]
    batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    with torch.inference_mode():
        # The reward is read at the last token that is no padding, whatever its id is.
        hidden = model.base_model(**batch).last_hidden_state
        last = batch["attention_mask"].sum(1) - 1
        rewards = model.score(hidden[torch.arange(len(texts)), last]).squeeze(-1)
    return {"rewards": rewards.float().tolist()}


uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", timeout_keep_alive=600)
