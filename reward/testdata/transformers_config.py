"""What transformers 4 or 5 makes of config.json texts: transformers_config.py < JSON list of texts; needs no torch.

Prints a JSON list of {"theta", "local_theta", "partial", "type", "factor", "dtype"}, of each text, as the release's own
modelling code reads them. Seen with transformers 5.24.0 and 4.57.3.
"""
import json, os, sys, tempfile
os.environ["HF_HUB_OFFLINE"] = "1"
import transformers
from transformers import AutoConfig
transformers.logging.set_verbosity_error()


def facts(text):
    with tempfile.TemporaryDirectory() as d:
        open(os.path.join(d, "config.json"), "w").write(text)
        c = AutoConfig.from_pretrained(d)
    out = {"dtype": str(c.dtype).replace("torch.", "")}
    if transformers.__version__.startswith("4."):
        scaling = getattr(c, "rope_scaling", None)
        out["theta"], out["partial"] = getattr(c, "rope_theta", 0), getattr(c, "partial_rotary_factor", 1)
        out["local_theta"] = getattr(c, "rope_local_base_freq", 0)
    else:
        scaling = c.to_dict().get("rope_parameters") or {}
        local = scaling.get("sliding_attention", {})
        scaling = scaling.get("full_attention", scaling)
        out["theta"], out["partial"], out["local_theta"] = scaling.get("rope_theta", 0), scaling.get("partial_rotary_factor", 1), local.get("rope_theta", 0)
    scaling = scaling if isinstance(scaling, dict) else {}
    out["type"] = scaling.get("rope_type", scaling.get("type", "default"))
    out["factor"] = scaling.get("factor", 0)
    return out


out, sys.stdout = sys.stdout, sys.stderr
json.dump([facts(text) for text in json.load(sys.stdin)], out)
