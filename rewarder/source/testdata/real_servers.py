"""Serves a small reward model of random weights by a real server on this CPU, and checks that haf's
source for it gives the rewards that haf gives itself. usage:
real_servers.py vllm|sglang|openrlhf HAF TOKENIZER   (TOKENIZER: a model folder with a chat template)
It runs in the Python that has the server: make contract-servers."""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

program, haf, source = sys.argv[1:4]
SAMPLES = [
    {"prompt": "what does the fox eat", "response": "mice"},
    {"prompt": "what does the fox eat", "response": "rain and snow, and nothing else all day"},
    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "A joke?"}],
     "response": "Knock, knock. “Who's there?”"},
    {"prompt": "x" * 300, "response": "  spaces \n and lines\n"},
]
# The largest distance between two rewards of one conversation. OpenRLHF has no float32.
TOLERANCE = {"vllm": 1e-4, "sglang": 1e-4, "openrlhf": 0.05}


def model(folder):
    tokenizer = AutoTokenizer.from_pretrained(source)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048, num_labels=1,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
        bos_token_id=tokenizer.bos_token_id, tie_word_embeddings=False)
    rm = LlamaForSequenceClassification(config)
    for p in rm.parameters():
        if p.dim() > 1:
            torch.nn.init.normal_(p, std=0.08)
    torch.nn.init.normal_(rm.score.weight, std=0.5)
    rm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def command(folder, port):
    at = ["--host", "127.0.0.1", "--port", str(port)]
    if program == "vllm":
        return ["vllm.entrypoints.openai.api_server", "--model", folder, "--runner", "pooling",
                "--convert", "classify", "--dtype", "float32", "--max-model-len", "1024",
                "--served-model-name", "rm", *at]
    if program == "sglang":
        return ["sglang.launch_server", "--model-path", folder, "--is-embedding", "--device", "cpu",
                "--dtype", "float32", *at]
    return ["openrlhf.cli.serve_rm", "--reward.model_name_or_path", folder,
            "--ds.attn_implementation", "eager", "--ds.param_dtype", "fp16", *at]


def wait(port, process):
    path = "/openapi.json" if program == "openrlhf" else "/health"
    for _ in range(900):
        if process.poll() is not None:
            sys.exit(f"the server ended with {process.returncode}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5):
                return
        except OSError:
            time.sleep(1)
    sys.exit("the server did not answer within 15 minutes")


def rewards(*args):
    out = subprocess.run([haf, "-json", "score", *args], check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line)["reward"] for line in out.splitlines()]


with tempfile.TemporaryDirectory() as folder:
    rm, samples = os.path.join(folder, "rm"), os.path.join(folder, "samples.jsonl")
    model(rm)
    with open(samples, "w") as f:
        f.writelines(json.dumps(s) + "\n" for s in SAMPLES)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    # OpenRLHF's import of flash-attn finds its parts for AMD, which need no CUDA and are not run.
    env = dict(os.environ, HF_HUB_OFFLINE="1", VLLM_TARGET_DEVICE="cpu", VLLM_CPU_KVCACHE_SPACE="1",
               FLASH_ATTENTION_TRITON_AMD_ENABLE="TRUE")
    server = subprocess.Popen([sys.executable, "-m", *command(rm, port)], env=env,
                              start_new_session=True, stdout=sys.stderr)
    try:
        wait(port, server)
        own = rewards(rm, "-in", samples)
        base = f"{program}+http://127.0.0.1:{port}"
        tokenizer = [] if program == "vllm" else ["-source-tokenizer", rm]
        for name in [base, base + "/pooling"] if program == "vllm" else [base]:
            served = rewards(name, "-in", samples, *tokenizer)
            worst = max(abs(a - b) for a, b in zip(own, served, strict=True))
            spread = max(own) - min(own)
            print(f"{name.replace(str(port), 'PORT')}: {len(own)} rewards, spread {spread:.3f}, "
                  f"largest distance from haf's own {worst:.2g}")
            if not worst <= TOLERANCE[program] or spread < 1:
                sys.exit(f"haf's rewards {own}, the server's {served}")
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
