"""Writes suites.json: scores that RewardBench's own code gives to drawn rewards.

    pip download rewardbench==0.1.4 --no-deps --no-binary :all:
    tar xzf rewardbench-0.1.4.tar.gz
    python eval/testdata/published.py rewardbench-0.1.4 > eval/testdata/suites.json

Only the functions that score are taken out of the package, because its imports need a GPU stack.
Rewards are small whole numbers, so that many of them tie.
"""
import ast
import json
import math
import pathlib
import random
import sys

import numpy as np

root = pathlib.Path(sys.argv[1]) / "rewardbench"


class Rows(list):
    """Stands in for datasets.Dataset where process_single_model builds its result."""

    @staticmethod
    def from_dict(columns):
        return Rows()


def functions(path, *names):
    scope = {"np": np, "math": math, "Dataset": Rows}
    tree = ast.parse(path.read_text())
    wanted = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    exec(compile(ast.Module(wanted, []), str(path), "exec"), scope)
    return [scope[n] for n in names]


sections, stats, ties = functions(
    root / "utils.py", "calculate_scores_per_section", "sample_stats", "process_single_model")
ties.__globals__["sample_stats"] = stats
constants = {}
exec((root / "constants.py").read_text(), constants)
draw = random.Random(1)


def tie_prompts(numbers, both):
    rows = []
    for n in range(numbers):
        forms = [("ref", 1), ("tied", draw.randint(2, 4))] if n < both else [("tied", 2)]
        for form, correct in forms:
            scores = [float(draw.randint(3, 5)) for _ in range(correct)]
            scores += [float(draw.randint(0, 4)) for _ in range(draw.randint(1, 4))]
            rows.append({"id": f"{form}:{n}", "num_correct": correct, "scores": scores})
    return rows


cases = []
for numbers, both in [(6, 6), (9, 7), (1, 1), (20, 20)]:
    rows = tie_prompts(numbers, both)
    cases.append({"prompts": rows, "score": float(ties(rows)[1])})
metrics = {name: draw.random() for name in constants["EXAMPLE_COUNTS"]}
scores = sections(constants["EXAMPLE_COUNTS"], constants["SUBSET_MAPPING"], metrics)
json.dump({"ties": cases, "subsets": metrics, "sections": scores}, sys.stdout)
print()
