"""Rewards of folders that haf saved, by transformers: AutoModelForSequenceClassification, PEFT for an adapter.

usage: transformers_families.py < JOBS     a JSON list of {"folder": …, "sequences": [[token ids], …]}
Prints a JSON list of lists of rewards, each sequence run alone in float32. "multimodal" in place of sequences makes the
folder instead: a small Gemma 3 with a vision part, for haf to read. Seen with torch 2.15.0, transformers 5.24.0, peft 0.21.2.
"""
import json, os, sys, warnings
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")
import torch, transformers
from transformers import AutoModelForSequenceClassification
transformers.logging.set_verbosity_error()


def rewards(folder, sequences):
    adapter = os.path.join(folder, "adapter_config.json")
    missing = lambda info: [k for k in info["missing_keys"] if "score" not in k]
    if os.path.exists(adapter):
        from peft import PeftModel
        base = json.load(open(adapter))["base_model_name_or_path"]
        model, info = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        model = PeftModel.from_pretrained(model, folder)
    else:
        model, info = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        assert not info["missing_keys"], info["missing_keys"]
    assert not missing(info), missing(info)
    model.eval()
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0, 0].item() for ids in sequences]


def multimodal(folder):
    torch.manual_seed(0)
    text = dict(vocab_size=64, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=4,
                sliding_window=9, layer_types=["sliding_attention", "full_attention"], bos_token_id=1, eos_token_id=2, pad_token_id=0)
    vision = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, image_size=28, patch_size=14)
    config = transformers.Gemma3Config(text_config=text, vision_config=vision, image_token_index=63, boi_token_index=62, eoi_token_index=61, mm_tokens_per_image=4)
    model = transformers.Gemma3ForConditionalGeneration(config)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.2))
    model.save_pretrained(folder)
    return []


# What libraries print goes to stderr: stdout is the answer.
out, sys.stdout = sys.stdout, sys.stderr
answers = [multimodal(j["folder"]) if "multimodal" in j else rewards(j["folder"], j["sequences"]) for j in json.load(sys.stdin)]
json.dump(answers, out)
