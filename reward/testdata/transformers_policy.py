"""What transformers makes of causal folders that haf exported: log-probabilities and greedy continuations.

usage: transformers_policy.py < JOBS     a JSON list of {"folder": …, "prompts": [[ids], …], "responses": [[ids], …], "fresh": n}
Prints a JSON list of {"logp": [summed over each response], "greedy": [[n tokens after each prompt]]}, all in float32. Seen
with torch 2.15.0, transformers 5.24.0.
"""
import json, os, sys, warnings
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")
import torch, transformers
from transformers import AutoModelForCausalLM
transformers.logging.set_verbosity_error()


def answer(job):
    model, info = AutoModelForCausalLM.from_pretrained(job["folder"], dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    model.eval()
    logps, greedy = [], []
    with torch.no_grad():
        for prompt, response in zip(job["prompts"], job["responses"]):
            ids = torch.tensor([prompt + response])
            logp = model(input_ids=ids).logits[0].float().log_softmax(-1)
            at = range(len(prompt) - 1, len(prompt) + len(response) - 1)
            logps.append(sum(logp[i, token].item() for i, token in zip(at, response)))
            for _ in range(job["fresh"]):  # without a cache: the plainest form there is
                prompt = prompt + [model(input_ids=torch.tensor([prompt])).logits[0, -1].argmax().item()]
            greedy.append(prompt[-job["fresh"]:])
    return {"logp": logps, "greedy": greedy}


# What libraries print goes to stderr: stdout is the answer.
out, sys.stdout = sys.stdout, sys.stderr
json.dump([answer(job) for job in json.load(sys.stdin)], out)
