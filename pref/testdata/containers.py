"""Writes containers/: folders and files of rows as the library datasets and pyarrow write them, and containers/expected.json, the
rows that datasets reads from each of them, in its order. usage: containers.py   (needs datasets 5.2.0, pyarrow 26.0.1, zstandard 0.25)
"""
import io
import json
import os
import shutil

import datasets
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import zstandard
from datasets import Dataset, DatasetDict, Features, List, Value

os.chdir(os.path.dirname(os.path.abspath(__file__)))
shutil.rmtree("containers", ignore_errors=True)
os.mkdir("containers")
os.chdir("containers")
datasets.disable_progress_bars()


def row(i):
    """A row of every type of column that sets of preferences have."""
    return {
        "id": i,
        "prompt": [{"role": "system", "content": "Be brief ☀."}, {"role": "user", "content": f"question {i}\n\t\"quoted\" \\"}][i % 2:],
        "chosen": f"good {i}" + " é" * (i % 3),
        "rejected": f"bad {i}",
        "margin": [None, 0.5, -2.0][i % 3],
        "subset": None if i % 4 == 0 else f"part {i % 2}",
        "tags": [] if i % 3 == 0 else ["a", None, "c"][: i % 3 + 1],
        "meta": None if i % 5 == 4 else {"source": {"name": f"set {i % 2}", "ok": i % 2 == 0}, "ratings": [i, i + 1]},
    }


message = {"role": Value("string"), "content": Value("large_string")}
features = Features({
    "id": Value("int64"), "prompt": List(message), "chosen": Value("large_string"), "rejected": Value("string"), "margin": Value("float32"),
    "subset": Value("string"), "tags": List(Value("string")),
    "meta": {"source": {"name": Value("string"), "ok": Value("bool")}, "ratings": List(Value("int32"))},
})


def rows(a, b):
    return Dataset.from_list([row(i) for i in range(a, b)], features=features)


expected = {}
cache = "../cache-of-datasets"

# A folder of shards as push_to_hub writes it, beside another split.
os.makedirs("shards/data")
for i in range(3):
    rows(3 * i, 3 * i + 3).to_parquet(f"shards/data/train-0000{i}-of-00003.parquet")
rows(20, 22).to_parquet("shards/data/test-00000-of-00001.parquet")
for split in ["train", "test"]:
    expected[f"shards:{split}"] = datasets.load_dataset("./shards", split=split, cache_dir=cache).to_list()

# Folders of save_to_disk; the first of two shards, with a file of the library's cache beside them.
rows(0, 7).save_to_disk("saved", num_shards=2)
shutil.copy("saved/data-00000-of-00002.arrow", "saved/cache-0123456789abcdef.arrow")
expected["saved"] = datasets.load_from_disk("saved").to_list()
some = rows(0, 3)
some.set_format(columns=["prompt", "chosen", "rejected"])
some.save_to_disk("columns")
expected["columns"] = [dict(r) for r in datasets.load_from_disk("columns")]
DatasetDict({"train": rows(0, 4), "test": rows(10, 12)}).save_to_disk("dict")
for split in ["train", "test"]:
    expected[f"dict/{split}"] = expected[f"dict:{split}"] = datasets.load_from_disk("dict")[split].to_list()

# JSON lines, compressed with zstd in two frames.
lines = [json.dumps(row(i), ensure_ascii=False) + "\n" for i in range(6)]
with open("rows.jsonl.zst", "wb") as f:
    for part in (lines[:3], lines[3:]):
        f.write(zstandard.compress("".join(part).encode(), level=19))
expected["rows.jsonl.zst"] = datasets.load_dataset("json", data_files="rows.jsonl.zst", split="train", cache_dir=cache).to_list()

# Types that pyarrow writes and datasets passes on: several batches, dictionaries, views, maps.
text = pa.array(["x", None, "y", "x"])
table = pa.table({
    "prompt": pa.array(["a", "b", "c", "d"], pa.string_view()),
    "chosen": text.dictionary_encode(),
    "rejected": pa.array(["r"] * 4, pa.large_string()),
    "prompts": pa.array([[{"role": "user", "content": "q"}], [], None, [{"role": "user", "content": None}]],
                        pa.large_list(pa.struct([("role", pa.dictionary(pa.int8(), pa.string())), ("content", pa.string())]))),
    "map": pa.array([[("k", 1)], None, [], [("l", 2), ("m", 3)]], pa.map_(pa.string(), pa.int64())),
    "fixed": pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.int16(), 2)),
    "nothing": pa.nulls(4),
    "half": pa.array([0.5, None, 1.5, 2.5], pa.float16()),
    "big": pa.array([2**63, 0, None, 1], pa.uint64()),
    "number": pa.array([float("nan"), 1.0, float("inf"), None]),
})
with pa.ipc.new_stream("types.arrow", table.schema) as w:
    w.write_table(table, max_chunksize=3)
with pa.ipc.new_file("types-file.arrow", table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as w:
    w.write_table(table)
sink = io.BytesIO()
with pa.ipc.new_stream(sink, table.schema) as w:
    w.write_table(table)
open("types.arrow.zst", "wb").write(zstandard.compress(sink.getvalue()))


def plain(v):
    """NaN and infinity are null here, which JSON has no form for; a map's entries are objects."""
    if isinstance(v, float) and (v != v or v in (float("inf"), float("-inf"))):
        return None
    if isinstance(v, tuple):
        return {"key": v[0], "value": v[1]}
    if isinstance(v, list):
        return [plain(x) for x in v]
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    return v


for name in ["types.arrow", "types-file.arrow", "types.arrow.zst"]:
    expected[name] = [plain(r) for r in table.to_pylist()]

# Old pandas and Spark write Parquet with other encodings.
old = pa.table({"prompt": ["a"] * 5, "chosen": ["x", None, "y", "x", "x"], "rejected": ["r"] * 5}, schema=pa.schema(
    [("prompt", pa.string()), ("chosen", pa.dictionary(pa.int32(), pa.string())), ("rejected", pa.large_string())]))
pq.write_table(old, "dictionary.parquet", compression="snappy", version="1.0", row_group_size=2)
expected["dictionary.parquet"] = datasets.load_dataset("parquet", data_files="dictionary.parquet", split="train", cache_dir=cache).to_list()

json.dump(expected, open("expected.json", "w"), ensure_ascii=False, indent=1)
shutil.rmtree(cache, ignore_errors=True)
