"""Where TRL's DPOTrainer lets the response of each conversation of foreign/*/expected.json begin: trl_responses.py > foreign/trl.json

By the trainer's own functions: the prompt is tokenized with the generation prompt, and the completion begins where the tokens of
prompt and conversation part. Seen with trl 1.16.0, transformers 5.24.0.
"""
import glob, json, os, sys

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer
from trl.data_utils import _tokenize
from trl.trainer.dpo_trainer import common_prefix_length

out = {}
for file in sorted(glob.glob(os.path.join(os.path.dirname(__file__), "foreign", "*", "expected.json"))):
    folder = os.path.dirname(file)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    places = []
    for case in json.load(open(file))["cases"]:
        if case.get("refused"):
            places.append(None)
            continue
        conversation = case["conversation"]
        prompt = _tokenize(tokenizer, conversation[:-1], add_generation_prompt=True)["input_ids"]
        whole = _tokenize(tokenizer, conversation)["input_ids"]
        places.append(common_prefix_length(prompt, whole))
    out[os.path.basename(folder)] = places
json.dump(out, sys.stdout, indent=1)
