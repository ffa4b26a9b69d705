"""Writes layouts.json: names of files and README.md of data sets, with the configurations and splits that the library datasets finds in
them. usage: layouts.py   (needs datasets 5.2.0)
"""
import json
import os
import tempfile

import datasets

here = os.path.dirname(os.path.abspath(__file__))


def front(yaml):
    return f"---\nlicense: mit\n{yaml}---\n\n# A data set\n\n---\n"


layouts = {
    "sharded": {"files": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"]},
    "sharded, hashed": {"files": ["data/human-00000-of-00001-25f4910818759289.parquet", "data/gpt4_pair-00000-of-00001-c0b431264a82ddc0.parquet"]},
    "sharded, own names": {"files": ["data/random-00000-of-00001.parquet", "data/test-00000-of-00001.parquet", "data/train-00000-of-00001.parquet",
                                     "data/a.b-00000-of-00001.parquet", "other.parquet"]},
    "files": {"files": ["train.jsonl", "test.jsonl", "validation.jsonl"]},
    "files in a folder": {"files": ["x/train_0.jsonl", "x/train_1.jsonl", "x/dev-0.jsonl", "x/my-test.jsonl", "x/contest.jsonl"]},
    "gzip": {"files": ["helpful/train.jsonl.gz", "helpful/test.jsonl.gz", "harmless/train.jsonl.gz", "harmless/test.jsonl.gz"]},
    "folders": {"files": ["train/b.parquet", "train/a.parquet", "test/a.parquet"]},
    "folders below": {"files": ["data/training/a.jsonl", "data/my_eval/a.jsonl", "data/val.2/a.jsonl", "data/valley/a.jsonl"]},
    "order of keywords": {"files": ["val-b.jsonl", "dev-a.jsonl", "validation-c.jsonl", "valid-d.jsonl"]},
    "no keyword": {"files": ["b/part-1.jsonl", "b/part-0.jsonl", "a.jsonl"]},
    "hidden": {"files": ["a.jsonl", ".hidden.jsonl", ".cache/a.jsonl", "__pycache__/a.jsonl", "README.md", "dataset_infos.json"]},
    "configs": {"files": ["a/train-00000-of-00001.parquet", "a/test-00000-of-00001.parquet", "b/x.parquet", "data/train-00000-of-00001.parquet"],
                "readme": front("configs:\n- config_name: a\n  data_files:\n  - split: train\n    path: a/train-*\n  - split: test\n    path: a/test-*\n"
                                "- config_name: b\n  data_files: b/*.parquet\n  default: true\n")},
    "default by name": {"files": ["x.jsonl", "y1.jsonl", "y2.jsonl"],
                        "readme": front("configs:\n- config_name: other\n  data_files: x.jsonl\n- config_name: default\n  data_files:\n  - y2.jsonl\n  - y1.jsonl\n")},
    "no default": {"files": ["x.jsonl", "y.jsonl"], "readme": front("configs:\n- config_name: x\n  data_files: x.jsonl\n- config_name: y\n  data_files: y.jsonl\n")},
    "one configuration": {"files": ["data/A/train.jsonl", "data/B/train.jsonl", "data/B/test.jsonl"],
                          "readme": front("configs:\n- config_name: all\n  data_files:\n  - split: train\n    path:\n    - data/B/train.jsonl\n    - data/A/train.jsonl\n"
                                          "  - split: test\n    path: data/*/test.jsonl\n")},
    "data_dir": {"files": ["en/data/train-00000-of-00001.parquet", "en/data/test-00000-of-00001.parquet", "de/train/a.parquet", "de/test/a.parquet"],
                 "readme": front("configs:\n- config_name: en\n  data_dir: en\n- config_name: de\n  data_dir: de\n")},
    "deep patterns": {"files": ["p/q/a.jsonl", "p/a.jsonl", "p/q/r/b.jsonl", "p/.h/a.jsonl", "p/a1.jsonl", "p/b2.jsonl"],
                      "readme": front("configs:\n- config_name: default\n  data_files:\n  - split: deep\n    path: p/**/*.jsonl\n  - split: class\n    path: p/[ab][0-9].jsonl\n"
                                      "  - split: not\n    path: p/[!b]*.jsonl\n  - split: one\n    path: p/q/?.jsonl\n  - split: hidden\n    path: p/.h/*\n")},
    "front matter without configs": {"files": ["train.jsonl"], "readme": front("")},
    "no front matter": {"files": ["test.jsonl"], "readme": "# A data set\n---\nconfigs: no\n---\n"},
}

for name, layout in layouts.items():
    with tempfile.TemporaryDirectory() as dir:
        for file in layout["files"]:
            os.makedirs(os.path.dirname(os.path.join(dir, file)), exist_ok=True)
            open(os.path.join(dir, file), "w").write("{}")
        if "readme" in layout:
            open(os.path.join(dir, "README.md"), "w").write(layout["readme"])
        found = {}
        for config in datasets.get_dataset_config_names(dir):
            builder = datasets.load_dataset_builder(dir, config, cache_dir=os.path.join(dir, ".of-datasets"))
            found[config] = [[str(split), [os.path.relpath(f, os.path.realpath(dir)) for f in files]] for split, files in builder.config.data_files.items()]
        layout["configs"] = found
        try:
            layout["default"] = datasets.get_dataset_default_config_name(dir)
        except ValueError as e:
            layout["default"] = None

json.dump(layouts, open(os.path.join(here, "layouts.json"), "w"), indent=1)
