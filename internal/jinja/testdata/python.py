"""Writes python.json: templates rendered by jinja2 as transformers sets it up.

usage: pip install transformers==5.24.0 jinja2==3.1.6; python3 python.py   (in this folder)

Each case is [template, rendering], or [template, null] for an error. Every template sees the
variables of python.json's "vars". The first cases are written by hand; the others are made from a
grammar of values, operators, filters and methods with a fixed seed.
"""

import copy
import json
import random
import re
import warnings

from transformers.utils.chat_template_utils import _compile_jinja_template

warnings.simplefilter("ignore")

VARS = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Wie heißt du? 😀"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "function": {"name": "f", "arguments": {"place": "Köln", "days": 2, "x": 1.5}},
                }
            ],
        },
        {"role": "tool", "content": "[1, 2]"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIch bin's. "},
    ],
    "s": "Hello wörld",
    "t": "a,b,,c",
    "w": "  pad\t\n",
    "e": "",
    "u": "é😀ß",
    "n": 7,
    "neg": -3,
    "z": 0,
    "f": 2.5,
    "whole": 3.0,
    "big": 1e20,
    "small": 1.5e-7,
    "yes": True,
    "no": False,
    "nil": None,
    "l": [3, 1, 2],
    "ls": ["b", "A", "c", "a"],
    "lm": [1, "a", None, True, 2.0, [1], {"k": "v"}],
    "d": {"b": 1, "a": {"x": [1, 2]}, "C": None},
    "el": [],
    "ed": {},
    "rows": [{"k": "x", "v": 2}, {"k": "Y", "v": 1}, {"k": "x", "v": 3}, {"v": 4}],
}


def hand():
    with open("hand.txt", encoding="utf-8") as f:
        for line in f.read().split("\n"):
            if line and not line.startswith("##"):
                yield line.replace("⏎", "\n").replace("↹", "\t")


VALUES = list(VARS) + [
    "nope",
    "nope.x",
    "d.a",
    "d.C",
    "d.zz",
    "messages[1].content",
    "(1, 'a')",
    "range(4)",
    "'it\\'s \"q\"'",
    "1",
    "-2",
    "0.5",
    "true",
    "none",
    "[1, 2, 3]",
    "{'a': 1, 2: 'b'}",
    "d.items()",
    "d.keys()",
    "'%s'",
    "rows",
]
BINARY = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "==",
    "!=",
    "<",
    ">",
    "<=",
    ">=",
    "in",
    "not in",
    "and",
    "or",
]
FILTERS = [
    "abs",
    "batch(2)",
    "capitalize",
    "center(9)",
    "count",
    "d('x')",
    "default('x', true)",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "forceescape",
    "format(1)",
    "groupby('k')",
    "indent",
    "indent(2, true)",
    "int",
    "int(9)",
    "items",
    "join",
    "join('-')",
    "join(',', attribute='k')",
    "last",
    "length",
    "list",
    "lower",
    "map('upper')",
    "map(attribute='k')",
    "map(attribute='v', default=0)",
    "max",
    "min",
    "reject",
    "reject('none')",
    "rejectattr('k')",
    "rejectattr('v', 'gt', 2)",
    "replace('a', 'ZZ')",
    "replace('l', '', 1)",
    "reverse",
    "round",
    "round(1)",
    "round(0, 'floor')",
    "safe",
    "select",
    "select('string')",
    "selectattr('k')",
    "selectattr('k', 'equalto', 'x')",
    "slice(2)",
    "sort",
    "sort(reverse=true)",
    "sort(attribute='v')",
    "sort(case_sensitive=true)",
    "string",
    "sum",
    "sum(attribute='v')",
    "sum(start=10)",
    "title",
    "tojson",
    "tojson(indent=2)",
    "tojson(ensure_ascii=true)",
    "tojson(separators=(',', ':'))",
    "tojson(sort_keys=true)",
    "trim",
    "trim('aH ')",
    "truncate(5)",
    "unique",
    "upper",
    "wordcount",
    "dictsort(by='value')",
    "dictsort(reverse=true)",
    "attr('a')",
    "nofilter",
]
TESTS = [
    "boolean",
    "callable",
    "defined",
    "divisibleby 2",
    "eq 1",
    "equalto('a')",
    "even",
    "false",
    "float",
    "ge(1)",
    "in l",
    "integer",
    "iterable",
    "lower",
    "lt 3",
    "mapping",
    "ne none",
    "none",
    "number",
    "odd",
    "sameas true",
    "sequence",
    "string",
    "true",
    "undefined",
    "upper",
    "notest",
]
METHODS = [
    "capitalize()",
    "casefold()",
    "center(8, '*')",
    "count('l')",
    "count('')",
    "endswith('d')",
    "endswith(('x', 'd'))",
    "find('l')",
    "find('l', 4)",
    "format(1, x=2)",
    "get('a')",
    "get('zz', 5)",
    "index('l')",
    "isalnum()",
    "isalpha()",
    "isascii()",
    "isdecimal()",
    "isdigit()",
    "isidentifier()",
    "islower()",
    "isnumeric()",
    "isprintable()",
    "isspace()",
    "istitle()",
    "isupper()",
    "items()",
    "items() | list",
    "join(ls)",
    "join(l)",
    "keys() | list",
    "ljust(9)",
    "lower()",
    "lstrip()",
    "lstrip('He')",
    "partition(' ')",
    "removeprefix('He')",
    "removesuffix('ld')",
    "replace('l', 'LL')",
    "replace('l', 'L', 1)",
    "replace('', '-')",
    "rfind('l')",
    "rindex('q')",
    "rjust(9, '.')",
    "rpartition('l')",
    "rsplit(',', 1)",
    "rsplit()",
    "rstrip()",
    "split()",
    "split(',')",
    "split(',', 2)",
    "split(none, 1)",
    "split('')",
    "split(sep='l', maxsplit=1)",
    "splitlines()",
    "splitlines(true)",
    "startswith('He')",
    "startswith('l', 2)",
    "strip()",
    "strip('Hd')",
    "swapcase()",
    "title()",
    "upper()",
    "values() | list",
    "zfill(9)",
    "append(1)",
    "pop()",
    "update({})",
    "copy()",
    "nomethod()",
    "nomethod",
    "upper",
    "index(1)",
    "count(1)",
    "expandtabs(4)",
]
SUBSCRIPTS = [
    "[0]",
    "[-1]",
    "[9]",
    "['a']",
    "['items']",
    "[1:]",
    "[:2]",
    "[::-1]",
    "[-2:]",
    "[5:1:-2]",
    "[::0]",
    "[none:2]",
    "['x':]",
    "[1, 2]",
    ".a",
    ".x",
    "._x",
    ".upper",
    ".0",
    "[true]",
    "[1.0]",
]


def random_cases(rng):
    def value(depth):
        roll = rng.random()
        if depth <= 0 or roll < 0.25:
            return rng.choice(VALUES)
        if roll < 0.40:
            return f"({value(depth - 1)} {rng.choice(BINARY)} {value(depth - 1)})"
        if roll < 0.60:
            return f"({value(depth - 1)} | {rng.choice(FILTERS)})"
        if roll < 0.80:
            return f"{value(0)}.{rng.choice(METHODS)}"
        if roll < 0.88:
            return f"{value(0)}{rng.choice(SUBSCRIPTS)}"
        if roll < 0.94:
            return f"({value(depth - 1)} is {rng.choice(['', 'not '])}{rng.choice(TESTS)})"
        return f"({value(depth - 1)} if {value(depth - 1)} else {value(depth - 1)})"

    for v in VALUES:
        yield f"{{{{ {v} }}}}|{{{{ {v} | string }}}}|{{{{ [{v}] }}}}"
        yield (
            f"{{% if {v} %}}y{{% else %}}n{{% endif %}}"
            f"{{% for x in {v} %}}[{{{{ x }}}}]{{% endfor %}}"
        )
        yield f"{{{{ {v} | tojson }}}}"
        for op in BINARY:
            yield f"{{{{ {v} {op} {rng.choice(VALUES)} }}}}"
        for choices, form in ((FILTERS, "{} | {} | string"), (TESTS, "{} is {}")):
            for c in rng.sample(choices, 9):
                yield "{{ " + form.format(v, c) + " }}"
    for choices, form in (
        (FILTERS, "{} | {}"),
        (FILTERS, "{} | {} | list | tojson"),
        (TESTS, "{} is {}"),
        (METHODS, "{}.{}"),
        (SUBSCRIPTS, "{}{}"),
    ):
        for c in choices:
            for v in ["s", "l", "rows", "d", "n"] + rng.sample(VALUES, 2):
                yield "{{ " + form.format(v, c) + " }}"
    for _ in range(1500):
        yield "{{ " + value(3) + " }}"


def render(template):
    try:
        out = _compile_jinja_template(template).render(
            **copy.deepcopy(VARS)
        )  # s | indent appends to a list
    except (Exception, RecursionError):
        return None
    return out


def main():
    cases, seen = [], set()
    rng = random.Random(20)
    templates = [(line, True) for line in hand()] + [(line, False) for line in random_cases(rng)]
    # An error hides what else is on the line, so such a line's expressions follow one by one.
    for line in hand():
        if render(line) is None and "{%" not in line:
            templates += [(piece, True) for piece in re.findall(r"\{\{.*?\}\}(?=[ |]|$)", line)]
    for template, keep in templates:
        if template in seen:
            continue
        seen.add(template)
        out = render(template)
        if out is None and not keep and rng.random() < 0.7:
            continue
        # An object's address differs from run to run; long values are not worth their room.
        if out is not None and (
            re.search(r" at 0x|<bound method|<built-in|<class|Undefined", out) or len(out) > 2000
        ):
            continue
        # What Python makes of a constant's slice while it compiles, sets, methods of ranges, and
        # the text of generators are not supported.
        if (
            re.search(r"(\}|['\"\d]|none)\[[^]]*:", template)
            and out == ""
            or "range(4).count" in template
            or "(0.5 | reject) | e" in template
            or ("- d.keys()" in template and out is not None)
        ):
            continue
        cases.append([template, out])
    with open("python.json", "w", encoding="utf-8") as f:
        f.write('{"vars": ' + json.dumps(VARS, ensure_ascii=False) + ',\n"cases": [\n')
        f.write(",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]}\n")
    print(len(cases), "cases,", sum(c[1] is None for c in cases), "errors")


if __name__ == "__main__":
    main()
