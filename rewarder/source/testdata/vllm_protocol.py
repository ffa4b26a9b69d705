"""Reads a request body on standard input by vLLM's own request models, and prints what they make of
it. The first argument is a folder with the unpacked wheel of vLLM, the second is classify or pooling.
vLLM itself needs a GPU and its compiled parts, so that the modules beside the models are stand-ins."""
import importlib
import json
import logging
import sys
import types
from typing import Any

import pydantic

folder, endpoint = sys.argv[1], sys.argv[2]


def module(name, **members):
    m = types.ModuleType(name)
    m.__dict__.update(members)
    sys.modules[name] = m
    return m


def package(name):
    module(name).__path__ = [folder + "/" + name.replace(".", "/")]


class PoolingParams:
    def __init__(self, **settings):
        self.settings = settings


class Base(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")


class Invalid(ValueError):
    def __init__(self, message, parameter=None):
        super().__init__(message)


for name in ["vllm", "vllm.entrypoints", "vllm.entrypoints.pooling"] + [
    "vllm.entrypoints.pooling." + part for part in ["base", "classify", "pooling"]
]:
    package(name)
sys.modules["vllm"].PoolingParams = PoolingParams
module("vllm.config", ModelConfig=Any)
module("vllm.exceptions", VLLMValidationError=Invalid)
module("vllm.logger", init_logger=logging.getLogger)
module("vllm.renderers", ChatParams=dict, TokenizeParams=dict,
       merge_kwargs=lambda a, b: {**(a or {}), **b})
module("vllm.renderers.chat_utils", ChatCompletionMessageParam=dict,
       ChatTemplateContentFormatOption=str)
module("vllm.utils", random_uuid=lambda: "id")
module("vllm.utils.serial_utils", EmbedDType=str, EncodingFormat=str, Endianness=str)
module("vllm.entrypoints.generate.base.protocol", validate_cache_salt=lambda salt: None)
module("vllm.entrypoints.serve.engine.protocol", OpenAIBaseModel=Base, UsageInfo=Base)

protocol = importlib.import_module(f"vllm.entrypoints.pooling.{endpoint}.protocol")
form = {"classify": "ClassificationRequest", "pooling": "PoolingRequest"}[endpoint]
request = pydantic.TypeAdapter(getattr(protocol, form)).validate_python(json.load(sys.stdin))
json.dump({
    "type": type(request).__name__,
    "unknown": request.model_extra,
    "use_activation": request.to_pooling_params().settings["use_activation"],
    "template": request.build_chat_params(None, "auto")["chat_template_kwargs"],
    "messages": request.messages,
}, sys.stdout)
