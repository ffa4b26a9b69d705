"""A rule as a reward of haf rlhf: 1 for a response that ends in a whole sentence, else 0.

haf runs it for the source "exec:python3 recipes/ends_in_a_sentence.py". It reads a JSON object
{prompt, response} a line and writes a number a line.
"""
import json
import sys

for line in sys.stdin:
    response = json.loads(line)["response"].rstrip().rstrip("\"')*_")
    print(float(response.endswith((".", "!", "?"))), flush=True)
