"""Asks a server for rewards by the real clients and compares them with those expected.

contract.py URL EXPECTED PACKAGES: EXPECTED is a JSON file {"texts": [...], "prompts": [...], "chats": [{"prompt", "response"}],
"rewards": [...], "tolerance"}, where texts[i], which begins with prompts[i], is chats[i] as the model's template writes it. PACKAGES is a folder
with the unpacked wheels of trainers; their modules are loaded from their files, with what they import beside the call itself
(torch, ray and the like) replaced by stand-ins, so that neither CUDA nor a cluster is needed.
"""

import asyncio
import importlib.machinery
import importlib.util
import itertools
import json
import logging
import pathlib
import sys
import types
from unittest import mock

import cohere
import openai
import requests


class StandIns(importlib.machinery.PathFinder):
    """Finds a stand-in for every module below the names given, but those that are loaded already."""

    def __init__(self, names):
        self.names = names

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.names:
            return importlib.util.spec_from_loader(name, self)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda attribute: mock.MagicMock(name=f"{spec.name}.{attribute}")
        return module

    def exec_module(self, module):
        pass


def load(packages, pattern, stand_ins):
    """The module whose file is the one that matches, with stand-ins for what it imports."""
    files = sorted(pathlib.Path(packages).glob(pattern))
    assert len(files) == 1, f"{pattern}: {files}"
    finder = StandIns(stand_ins)
    sys.meta_path.insert(0, finder)
    before = set(sys.modules)
    try:
        parts = files[0].with_suffix("").parts
        # Its full name, for relative imports.
        name = ".".join(parts[max(i for i, part in enumerate(parts) if part in stand_ins) :])
        spec = importlib.util.spec_from_file_location(name, files[0])
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in stand_ins:
                del sys.modules[name]


def main():
    url, expected, packages = sys.argv[1:]
    with open(expected) as file:
        case = json.load(file)
    texts, prompts, chats, rewards = case["texts"], case["prompts"], case["chats"], case["rewards"]
    checked = []

    def check(client, got, want=None):
        want = rewards if want is None else want
        assert len(got) == len(want), f"{client}: {got}, want {want}"
        for g, w in zip(got, want):
            assert abs(g - w) <= case["tolerance"], f"{client}: {got}, want {want}"
        checked.append(client)

    # openai: embeddings (base64, its default, and floats), models, and paths of its own.
    client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)
    check("openai embeddings", [d.embedding[0] for d in client.embeddings.create(model="rm", input=texts).data])
    check("openai embeddings, floats", [d.embedding[0] for d in client.embeddings.create(model="rm", input=texts, encoding_format="float").data])
    assert [m.id for m in client.models.list().data] == [case["model"]]
    root = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    for path in ("/classify", "/pooling"):
        reply = root.post(path, cast_to=object, body={"model": "rm", "input": texts, "use_activation": False})
        assert reply["activation"] == "raw"
        check(f"openai {path}", [d["probs"][0] if path == "/classify" else d["data"][0] for d in reply["data"]])
    messages = [[{"role": "user", "content": c["prompt"]}, {"role": "assistant", "content": c["response"]}] for c in chats]
    reply = root.post("/classify", cast_to=object, body={"model": "rm", "messages": messages[0]})
    check("openai /classify, messages", [reply["data"][0]["probs"][0]], rewards[:1])
    reply = root.post("/score", cast_to=object, body={"model": "rm", "queries": [c["prompt"] for c in chats], "documents": [c["response"] for c in chats]})
    check("openai /score", [d["score"] for d in reply["data"]])
    try:
        client.embeddings.create(model="rm", input=[])
        raise AssertionError("an empty input was answered")
    except openai.BadRequestError as error:
        assert "missing or empty" in str(error), error

    # cohere: rerank of both versions.
    for version, make in (("v1", cohere.Client), ("v2", cohere.ClientV2)):
        rerank = make(api_key="none", base_url=url)
        for c, reward in zip(chats, rewards):
            results = rerank.rerank(model="rm", query=c["prompt"], documents=[c["response"]]).results
            check(f"cohere {version}", [results[0].relevance_score], [reward])
        same = [i for i, c in enumerate(chats) if c["prompt"] == chats[0]["prompt"]]
        results = rerank.rerank(model="rm", query=chats[0]["prompt"], documents=[chats[i]["response"] for i in same], top_n=2).results
        order = sorted(same, key=lambda i: -rewards[i])[:2]
        assert [same[r.index] for r in results] == order, (results, order)

    # OpenRLHF: its executor's call, from openrlhf/utils/agent.py.
    agent = load(packages, "openrlhf*/**/openrlhf/utils/agent.py", {"openrlhf"})
    agent.logger = logging.getLogger("openrlhf")
    executor = object.__new__(agent.SingleTurnAgentExecutor)
    executor.reward_endpoints = [url + "/get_reward"]
    executor._reward_endpoint_cycle = itertools.cycle(executor.reward_endpoints)
    for text, prompt, reward in zip(texts, prompts, rewards):
        (info,) = asyncio.run(executor._fetch_rewards_via_http([text], [prompt], ["label"]))
        check("OpenRLHF", info["rewards"], [reward])
        check("OpenRLHF", info["scores"], [reward])
        assert all(isinstance(v, list) for v in info["extra_logs"].values()), info

    # verl: its reward loop's call, from verl/experimental/reward_loop/reward_loop.py, for both engines.
    loop = load(packages, "verl*/verl/experimental/reward_loop/reward_loop.py", {"verl", "ray", "omegaconf", "tensordict", "numpy", "torch"})
    loop.logger = logging.getLogger("verl")
    for engine in ("vllm", "sglang"):
        worker = object.__new__(loop.RewardLoopWorker)
        worker.reward_router_address = url.removeprefix("http://")
        worker.config = mock.MagicMock()
        worker.config.reward.reward_model.rollout.name = engine
        worker.config.reward.reward_model.model_path = "some/path"
        for text, reward in zip(texts, rewards):

            async def inputs(data, text=text):
                return text.removeprefix("<s>")  # as verl strips BOS

            worker._preprocess_reward_inputs = inputs
            check(f"verl, {engine}", [asyncio.run(worker.compute_score_disrm(None))["reward_score"]], [reward])

    # LLaMA-Factory: from llamafactory/train/ppo/ppo_utils.py.
    ppo = load(packages, "llamafactory*/**/llamafactory/train/ppo/ppo_utils.py", {"llamafactory", "torch", "transformers"})
    ppo.torch = types.SimpleNamespace(Tensor=list)
    ppo.requests = requests
    check("LLaMA-Factory", ppo.get_rewards_from_server(url + "/v1/score/evaluation", texts))

    print("\n".join(dict.fromkeys(checked)))


main()
