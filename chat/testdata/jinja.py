"""Writes jinja.json: templates rendered by jinja2 as transformers sets it up.

usage: pip install jinja2==3.1.6; python3 jinja.py > jinja.json
"""
import json
import os

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception

tools = [{"type": "function", "function": {"name": "weather", "description": "Today's weather <at> a place.",
          "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "where", "enum": ["a", "b"]},
                         "days": {"type": "integer", "default": 3}, "deep": {"type": "array", "items": {"type": "string"}}},
                         "required": ["place"]}}}]
chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "c1", "function": {
            "name": "weather", "arguments": {"place": "Köln", "days": 2, "exact": True, "x": 1.5, "none": None}}}]},
        {"role": "tool", "content": "{\"t\": 21}"}, {"role": "assistant", "content": "<think>\nhm\n</think>\n\n21 degrees."},
        {"role": "user", "content": "Thanks"}]
one = [{"role": "user", "content": "Hi"}]
sources = r"""
{{ messages[-1].content }}
{{ messages[-1]['role'] if messages else 'none' }}
{{ ('a' if messages|length > 3 else 'b') + 'c' }}
{{ messages[0].content.split('x')[-1] }}
{{ 'a,b,c'.split(',')[-3] }}
{{ '  a b  '.strip() }}|{{ '\n\ta\n'.lstrip() }}|{{ 'xxaxx'.rstrip('x') }}
{{ ' a  b '.split() | tojson }}
{{ [1, 2.0, 'x', true, none] | tojson }}
{{ {'a': 1, 'b': [1, 2], 'c': {}} | tojson(indent=2) }}
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}
{{ 'é<&>"' | tojson }} {{ 'é' | tojson(ensure_ascii=true) }}
{{ tools | tojson if tools else 'no tools' }}
{% for t in tools %}{{ t.function.name }}{% if not loop.last %}, {% endif %}{% endfor %}
{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}={{ v }};{% endfor %}
{% for k in {'b': 1, 'a': 2} %}{{ k }}{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ m.content }}{% else %}nobody{% endfor %}
{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}
{% set x = 1 %}{% for i in [1,2] %}{% set x = x + i %}{% endfor %}{{ x }}
{% if x is defined %}def{% else %}undef{% endif %}
{% macro f(a, b='z') %}[{{ a }}{{ b }}]{% endmacro %}{{ f('x') }}{{ f('x', b='y') }}
{{ undefined_name }}|{{ undefined_name is defined }}|{{ undefined_name | default('d') }}
{{ undefined_name.attribute }}
{{ 'a' + undefined_name }}
{{ 'a' + none }}
{{ 'a' + 1 }}
{{ 'a' ~ 1 ~ none }}
{{ none }}
{{ true }} {{ false }} {{ 1.0 }} {{ 1 / 2 }} {{ 7 // 2 }} {{ 7 % 3 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 3 }}
{{ [1, 'a', none, true] }}
{{ {'a': 'b', 'c': none} }}
{{ 'it\'s' }} {{ ["it's"] }}
{{ messages | map(attribute='role') | join(',') }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}
{{ messages | rejectattr('role', 'equalto', 'user') | map(attribute='role') | list | last }}
{{ (messages | selectattr('role', 'equalto', 'user') | list)[-1].content }}
{{ 'abc'[::-1] }} {{ 'abcdef'[1:-1] }} {{ [1,2,3][::-1] }} {{ [1,2,3][-2:] }}
{{ 'b' in 'abc' }} {{ 'z' not in ['a'] }} {{ 'role' in messages[0] }} {{ 'x' in messages[0] }}
{{ not true and false or true }} {{ not (1 == 2) }}
{{ 'a' if false }}|
{{ 1 if 0 else 2 if 0 else 3 }}
{{ ['a' if false else 'b', 'c'] | join }}
{{ messages[99] is defined }}
{{ messages[0].missing is defined }} {{ messages[0].missing is none }}
{{ messages[0]['content'] is string }} {{ messages is iterable }} {{ messages[0] is mapping }} {{ messages is sequence }}
{{ 'HELLO' | lower | capitalize }} {{ 'a b' | title }} {{ 'x' | upper }}
{{ 'a-b' | replace('-', '+') }} {{ 'aXb'.replace('X', '') }}
{{ [3,1,2] | sort | join('<') }} {{ [1,2,3] | sum }} {{ [1,2] | first }} {{ [1,2] | last }}
{{ '%s-%d' | format('a', 3) }} {{ '%s' % 'a' }}
{{ 'x' * 3 }} {{ [1] + [2] }}
{{ 'abc'.startswith('ab') and 'abc'.endswith('c') }}
{{ messages[0].get('role') }} {{ messages[0].get('zz', 'dflt') }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}
{% set t %}block {{ 1 }}{% endset %}{{ t }}
{%- set content = messages[0]['content'] | trim -%} {{ content + '!' }}
{% filter upper %}abc{% endfilter %}
{% raw %}{{ x }}{% endraw %}
{# comment #}x{# another
line #}y
a {%- if true %} b {% endif -%} c
  {% if true %}
  line
  {% endif %}
end
{{ "a\nb" }}{{ 'c\td' }}{{ "\\n" }}{{ '\u00e9' }}
{{ raise_exception('no') }}
{{ messages | length }} {{ messages|count }}
{{ dict(a=1).a }} {{ range(3) | list }}
{{ 5 | string + 'x' }} {{ '5' | int + 1 }} {{ '1.5' | float }}
{{ 'a' == "a" }} {{ 1 == 1.0 }} {{ 'a' != none }} {{ none == none }} {{ undefined_name == none }}
{{ 1 < 2 < 3 }} {{ 2 > 1 }} {{ 'a' < 'b' }}
{% if messages[0].role == 'system' and messages|length > 1 %}yes{% else %}no{% endif %}
{% for m in messages[1:] %}{{ loop.index0 }}/{{ loop.length }}{{ loop.first }}{{ loop.revindex }} {% endfor %}
{% for a in [1,2] %}{% for b in [3,4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{% endfor %}
{{ messages[0].content | default('x', true) }} {{ '' | default('x', true) }} {{ none | default('y') }}
{% with %}{% set q = 3 %}{{ q }}{% endwith %}{{ q }}
{{ tools[0].function.parameters.properties.items() | list | length }} {{ tools[0].function.parameters.properties | items | first | first }}
{{ [['a', 1]] | tojson }} {{ 1e20 | tojson }} {{ 0.1 | tojson }} {{ 'a/b' | tojson }}
{{ 'x' | indent(2) }}{{ 'a\nb' | indent(4) }} {{ 'abc' | length }} {{ 'é😀' | length }}
{{ messages.0.role }} {{ messages[0]["role"] }}
{{ '😀é'[0] }} {{ '😀é'[-1] }} {% for c in 'é😀' %}[{{ c }}]{% endfor %}
{% if 'a' is in ['a'] %}in{% endif %} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 'a' is eq 'a' }}
{{ (1, 2) }} {{ [] is iterable }} {{ 'x' is not none }} {{ not x is defined }}
{{ {'role': 'user'} == {'role': 'user'} }} {{ [1] == [1] }}
{{ "a" "b" }}
{{ messages[0].content[:3] }} {{ messages[0]['content'][1:] }}
{% set loop_messages = messages[1:] if messages[0].role == 'system' else messages %}{{ loop_messages | length }}
{{ ' '.join(['a', 'b']) }} {{ 'a' | center(5) }}
{{ 'abc' | first }} {{ [[1,2],[3]] | map('length') | list }}
{{ 'aXbX'.replace('X', 'y', 1) }} {{ 'éab'.find('a') }} {{ 'aba'.count('a') }} {{ 'a-b-c'.partition('-') | list }} {{ 'a-b-c'.rpartition('-')[0] }}
{{ 'heLLo wo'.capitalize() }} {{ 'heLLo wo'.title() }} {{ 'aB'.upper() }} {{ 'aB'.lower() }} {{ 'aB'.swapcase() }} {{ '7'.zfill(3) }}
{{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }} {{ ', '.join(['a', 'b']) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith(('x', 'a')) }}
{{ 'a1'.isalnum() }} {{ 'a'.isalpha() }} {{ 'é'.isascii() }} {{ '12'.isdigit() }} {{ '12'.isdecimal() }} {{ '½'.isnumeric() }} {{ ' '.isspace() }} {{ 'a'.islower() }} {{ 'A'.isupper() }} {{ 'Ab C'.istitle() }}
{{ 'a\nb\n'.splitlines() | tojson }} {{ 'a b c'.rsplit(' ', 1) | tojson }} {{ 'a b c'.split(' ', 1) | tojson }} {{ ''.split(',') | tojson }}
{{ 10 | abs }} {{ 3.7 | int }} {{ 3.14159 | round(2) }}
""".strip("\n").split("\n")
# Lines that belong together.
joined, skip = [], {"line #}y", "  line", "  {% endif %}", "end"}
for line in sources:
    if line in skip:
        joined[-1] += "\n" + line
    else:
        joined.append(line)
sources = joined


def cases():
    for source in sources:
        for messages in (chat, one):
            yield {"template": source, "messages": messages, "tools": tools if messages is chat else None}
    # The published templates with tool calls.
    with open(os.path.join(os.path.dirname(__file__), "chat_templates.json")) as f:
        for entry in json.load(f):
            if "strftime_now" not in entry["template"]:
                yield {"template": entry["template"], "messages": chat, "tools": tools}


out = []
for case in cases():
    try:
        rendered = env.from_string(case["template"]).render(
            messages=case["messages"], tools=case["tools"], documents=None, add_generation_prompt=True, bos_token="<s>", eos_token="</s>")
    except Exception:
        rendered = None
    out.append({**case, "rendered": rendered})
print("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in out) + "\n]")
