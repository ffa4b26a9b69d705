"""Writes grid.json: every stored template with many conversations, rendered by transformers.

usage: pip install transformers==5.24.0 jinja2==3.1.6; python3 grid.py [TEMPLATE.jinja ...]

The templates are those of chat_templates.json and published.json, and the files named, whose
sources grid.json then holds. To be small, it has only the first 12 digits of each rendering's
SHA-256; null is an error. Renderings come in the order: for each template, for each conversation,
without and with tools, without and with the generation prompt.
"""

import datetime
import hashlib
import json
import os
import sys

from transformers.utils import chat_template_utils

DAY = datetime.datetime(2026, 11, 24, 12)
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Today's weather <at> a place & time.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "where", "enum": ["Köln", "b"]},
                    "days": {"type": "integer", "default": 3, "minimum": 0.5},
                    "deep": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"x": {"type": ["string", "null"]}},
                        },
                    },
                },
                "required": ["place"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "now",
            "description": "",
            "parameters": {"type": "object", "properties": {}},
            "return": {"type": "string"},
        },
    },
]


def turn(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, **more):
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


S, U, A = turn("system", "Be brief."), turn("user", "Hi"), turn("assistant", "Hello.")
THINK = turn("assistant", '<think>\nhm, "x"\n</think>\n\n21 degrees.')
CHATS = [
    [U],
    [U, A],
    [U, A, U],
    [S, U],
    [S, U, A],
    [S, U, A, U, A],
    [S],
    [A],
    [A, U],
    [U, U],
    [],
    [S, S, U],
    [turn("user", "")],
    [turn("user", " \n "), turn("assistant", "")],
    [turn("system", ""), U],
    [turn("user", "  Was ist 2+2?\n"), turn("assistant", " 4 😀 \n")],
    [turn("user", "日本語 é \u00a0\u2028 ß")],
    [turn("user", "{{ bos_token }} {% if %} 'a' \"b\" \\ \\n <|im_end|> </s>")],
    [turn("nobody", "x")],
    [turn("user", "a\r\nb\tc")],
    [U, THINK, U],
    [U, THINK, U, THINK],
    [turn("developer", "Do it."), U],
    [U, turn("assistant", "x", reasoning_content="because\n"), U],
    [U, turn("assistant", None), U],
    [
        U,
        turn(
            "assistant",
            "",
            tool_calls=[
                call(
                    "weather",
                    {"place": "Köln", "days": 2, "x": 1.5, "none": None, "ok": True},
                    id="call12345",
                )
            ],
        ),
        turn("tool", '{"t": 21}', name="weather", tool_call_id="call12345"),
        THINK,
        U,
    ],
    [
        S,
        U,
        turn(
            "assistant",
            "I look.",
            tool_calls=[
                call("now", {}, id="call11111"),
                call("weather", {"place": "<b> & 'c'"}, id="call22222"),
            ],
        ),
        turn("tool", "12:00", name="now", tool_call_id="call11111"),
        turn("tool", "rain", name="weather", tool_call_id="call22222"),
        A,
    ],
    [U, turn("assistant", None, tool_calls=[call("now", "{}")])],
    [
        turn(
            "user",
            [
                {"type": "text", "text": "Look: "},
                {"type": "image"},
                {"type": "text", "text": " é"},
            ],
        ),
        A,
    ],
    [
        turn("system", [{"type": "text", "text": "Be brief."}]),
        turn("user", [{"type": "text", "text": "Hi"}]),
    ],
    [S] + [U, A] * 20 + [U],
    [turn("user", "x" * 3000 + "\n"), turn("assistant", "y " * 1000)],
]


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return DAY


def render(template, entry, chat, tools, prompt):
    try:
        text = chat_template_utils._compile_jinja_template(template).render(
            messages=chat,
            tools=tools,
            documents=None,
            add_generation_prompt=prompt,
            bos_token=entry["bos_token"],
            eos_token=entry["eos_token"],
        )
    except Exception:
        return None
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def main():
    chat_template_utils.datetime = Clock
    here = os.path.dirname(os.path.abspath(__file__))
    templates = []
    for name in ("chat_templates.json", "published.json"):
        with open(os.path.join(here, name), encoding="utf-8") as f:
            templates += [{"file": name, **entry} for entry in json.load(f)]
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as f:
            templates.append(
                {
                    "file": "",
                    "name": os.path.splitext(os.path.basename(path))[0],
                    "template": f.read(),
                    "bos_token": "<s>",
                    "eos_token": "</s>",
                }
            )
    out = []
    for entry in templates:
        hashes = [
            render(entry["template"], entry, chat, tools, prompt)
            for chat in CHATS
            for tools in (None, TOOLS)
            for prompt in (False, True)
        ]
        row = {"file": entry["file"], "name": entry["name"], "renderings": hashes}
        if not entry["file"]:
            row["template"] = entry["template"]
        out.append(row)
        print(entry["name"], sum(h is not None for h in hashes), "of", len(hashes))
    with open(os.path.join(here, "grid.json"), "w", encoding="utf-8") as f:
        f.write(
            '{"tools": '
            + json.dumps(TOOLS, ensure_ascii=False)
            + ',\n"chats": [\n'
            + ",\n".join(json.dumps(c, ensure_ascii=False) for c in CHATS)
        )
        f.write(
            '\n],\n"templates": [\n'
            + ",\n".join(json.dumps(r, ensure_ascii=False) for r in out)
            + "\n]}\n"
        )


if __name__ == "__main__":
    main()
