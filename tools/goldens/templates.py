#!/usr/bin/env python3
"""What jinja2 makes of small templates in Hugging Face's settings: goldens for the chat templates' tests.

usage: templates.py OUT.json
Needs the package jinja2. The environment is that of transformers' apply_chat_template: ImmutableSandboxedEnvironment,
trim_blocks, lstrip_blocks, loop controls, a {% generation %} block that passes its body through, tojson = json.dumps
without HTML escaping, raise_exception, strftime_now (frozen at 2026-11-21 12:34:56).
OUT: a list of {"source", "out"} or {"source", "error"}, all rendered with the conversation that stands first.
"""
import datetime, json, sys
import jinja2, jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = datetime.datetime(2026, 11, 21, 12, 34, 56)
CONVERSATION = {
    "messages": [
        {"role": "system", "content": "  Be kind.\n"},
        {"role": "user", "content": "Is 7 'prime'? \"Yes\" <|im_end|> é漢😀\t"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nIt is.", "tool_calls": [
            {"type": "function", "function": {"name": "check", "arguments": {"n": 7, "deep": [1, 2.5, None, True], "b": "x<y>&'z'"}}}]},
        {"role": "tool", "name": "check", "content": "{\"prime\": true}"},
        {"role": "user", "content": "Thanks"},
    ],
    "tools": [{"type": "function", "function": {"name": "check", "description": "Says — \"loudly\" — whether n is prime.",
               "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}],
    "chat_template_kwargs": {"enable_thinking": False, "numbers": [3, 1, 2, 10], "words": ["pear", "Apple", "fig"], "empty": [], "zero": 0,
                             "text": "The quick  brown\nfox\n\njumps", "pairs": {"b": 2, "a": 1, "C": 3}, "pi": 3.14159, "big": 1e20, "tiny": 1.5e-7, "neg": -7,
                             "nested": {"items": [1], "x": {"y": ["z"]}}},
}
BOS, EOS = "<s>", "</s>"

CHATML = """{%- for message in messages %}
    {%- if loop.first and message['role'] != 'system' %}
<|im_start|>system
You are helpful.<|im_end|>
    {% endif %}
<|im_start|>{{ message.role }}
{{ message.content | trim }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
LLAMA2 = """{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% set system = messages[0]['content'] %}{% else %}{% set rest = messages %}{% set system = false %}{% endif %}
{% for m in rest if m.role in ['user', 'assistant'] %}
{% if loop.index0 == 0 and system != false %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + m['content'] %}{% else %}{% set content = m['content'] %}{% endif %}
{% if m.role == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% else %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}
{% endfor %}"""
TOOLS = """{%- macro schema(tool, depth=0) -%}
{{ '  ' * depth }}{{ tool.function.name }}({% for k, v in tool.function.parameters.properties.items() %}{{ k }}: {{ v.type }}{{ ', ' if not loop.last }}{% endfor %})
{%- endmacro -%}
{%- set ns = namespace(count=0, last=none) -%}
{% if tools is not none and tools | length > 0 %}<tools>
{% for tool in tools %}{{ schema(tool, depth=1) }}
{{ tool | tojson(indent=2) }}
{% endfor %}</tools>
{% endif %}
{% for m in messages %}
{% if m.tool_calls is defined and m.tool_calls %}
{% for call in m.tool_calls %}<call>{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}</call>
{% set ns.count = ns.count + 1 %}{% set ns.last = call.function.name %}
{% endfor %}
{% elif m.role == 'tool' %}<result>{{ m.content }}</result>
{% else %}{{ m.role | upper }}: {% generation %}{{ m.content }}{% endgeneration %}

{% endif %}
{% endfor %}
calls: {{ ns.count }} {{ ns.last }} {{ strftime_now('%d %b %Y') }}"""

SOURCES = [CHATML, LLAMA2, TOOLS] + [s for s in r"""
a {%- if true %} b {% endif -%} c
  {% if true %}  x  {% endif %}  y
  {%+ if true %} x {%+ endif +%}  y
{{- ' x ' -}} a {# note -#} b
{% raw %}{{ not }} {% a %}{% endraw %} after
{% raw -%}  x  {%- endraw %}  y
a{##}b{#- c -#}d {# e #} f
{% set x = 1, 2, 'three' %}{{ x }} {{ x[0] }} {{ (1,) }} {{ () }}
{{ true }} {{ None }} {{ 1.0 }} {{ 'a' ~ 1 ~ none ~ True ~ [1, 'b', 2.50] ~ {'k': none} }}
{{ pi }} {{ big }} {{ tiny }} {{ 1.5 * 2 }} {{ 7 / 2 }} {{ neg // 2 }} {{ neg % 3 }} {{ 7 // -2 }} {{ 7 % -2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -7.5 // 2 }} {{ 1e3 if false else 5 }}
{{ 1 + 2 * 3 ~ 5 if false else 2 * 3 ~ 5 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ -2 | abs }} {{ - 2 * - 3 }} {{ 10 - 2 - 3 }} {{ not 1 == 2 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 3 > 2 >= 2 != 1 }}
{{ 'ab' * 3 }} {{ [1] * 2 + [2] }} {{ 'a' in 'cat' }} {{ 4 not in numbers }} {{ 'b' in pairs }} {{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }}
{{ 0 or 'x' }} {{ 1 and 'y' }} {{ '' or [] or none }} {{ not none }} {{ 'a' if zero }}|{{ 'a' if zero else 'b' if false else 'c' }}
{{ text[4:9] }}|{{ text[-5:] }}|{{ text[::-1] }}|{{ text[::3] }}|{{ text[10:2:-2] }}|{{ numbers[1:] }}{{ numbers[:-1] }}{{ numbers[-2] }}{{ numbers[99:] }}{{ text[2] }}
{{ words | join(', ') }} {{ numbers | join }} {{ words | first }} {{ words | last }} {{ words | length }} {{ words | sort | join(' ') }} {{ words | sort(case_sensitive=true, reverse=true) | join(' ') }} {{ numbers | sort }} {{ numbers | max }} {{ numbers | min }} {{ numbers | sum }}
{{ words | map('upper') | join('-') }} {{ messages | map(attribute='role') | list }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('tool_calls') | map(attribute='role') | join(' ') }} {{ numbers | select('odd') | list }} {{ numbers | reject('gt', 2) | list }}
{{ pairs | dictsort }} {{ pairs | dictsort(reverse=true) }} {{ pairs | dictsort(by='value') }} {{ pairs.items() | list }} {{ pairs.keys() | list }} {{ pairs | list }} {{ pairs.get('zz') }} {{ pairs.get('zz', 5) }} {{ pairs['a'] }} {{ pairs.C }}
{{ missing }}|{{ missing | default('d') }}|{{ '' | default('d') }}|{{ '' | default('d', true) }}|{{ none | default('d') }}|{{ missing is defined }}|{{ messages[0].nothing }}|{{ missing is none }}|{{ missing | length }}
{{ missing.attribute }}
{{ missing + 1 }}
{{ 'a' + 1 }}
{{ none.x }}|{{ none['x'] }}
{{ raise_exception('No ' ~ 'way: ' ~ words[0]) }}
{{ messages[1] }}
{{ messages[2].tool_calls }}
{{ messages[2].tool_calls[0] | tojson }} {{ messages[1] | tojson }} {{ [] | tojson }} {{ {} | tojson(indent=4) }} {{ 'a/b' | tojson }} {{ [1, [2, {'a': []}]] | tojson(indent=1) }}
{{ pairs | tojson(sort_keys=true) }} {{ pairs | tojson(separators=(',', ':')) }} {{ messages[1].content | tojson(ensure_ascii=true) }} {{ pi | tojson }} {{ big | tojson }} {{ none | tojson }}
{{ text.split() }} {{ text.split(' ') }} {{ text.split(' ', 1) }} {{ text.rsplit(' ', 1) }} {{ text.rsplit(maxsplit=1) }} {{ text.split(none, 2) }} {{ text.splitlines() }} {{ text.splitlines(true) }} {{ 'a,b,,c'.split(',') }} {{ ''.split() }} {{ ''.split(',') }} {{ 'a'.partition('=') }} {{ 'k=v=w'.partition('=') }} {{ 'k=v=w'.rpartition('=') }}
{{ '  x '.strip() }}|{{ '  x '.lstrip() }}|{{ '  x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.lstrip('ba') }}|{{ 'abc'.removeprefix('a') }}|{{ 'abc'.removesuffix('x') }}|{{ ' x ' | trim }}|{{ 'xax' | trim('x') }}
{{ 'hello wORLD'.title() }} {{ 'hello wORLD' | title }} {{ 'hello wORLD'.capitalize() }} {{ 'hello' | capitalize }} {{ 'ß'.upper() }} {{ 'AbC'.swapcase() }} {{ 'AbC' | lower }} {{ 'x'.isdigit() }} {{ '12'.isdigit() }} {{ 'aB'.isalpha() }} {{ ' '.isspace() }} {{ 'AB'.isupper() }}
{{ 'abcabc'.replace('b', 'X') }} {{ 'abcabc'.replace('b', '', 1) }} {{ 'abc'.replace('', '-') }} {{ 'abcabc' | replace('c', 'Y', 1) }} {{ 'abcabc'.find('c') }} {{ 'abcabc'.rfind('c') }} {{ 'abcabc'.find('z') }} {{ 'aaa'.count('a') }} {{ 'abc'.startswith('ab') }} {{ 'abc'.endswith(('x', 'c')) }} {{ '-'.join(words) }} {{ 'abc'.index('b') }}
{{ 'x'.center(5) }}|{{ 'x' | center(4) }}|{{ 'ab'.ljust(4, '.') }}|{{ 'ab'.rjust(4) }}|{{ '-7'.zfill(4) }}|{{ 'ab'.center(5, '*') }}|{{ 'a'.center(4, '*') }}
{{ '%s is %d and %.2f%%' % ('pi', 3, pi) }} {{ '%5s|%-5s|%05d' % ('a', 'b', 42) }} {{ '%s' % 'x' }} {{ '%r' % 'x' }} {{ '%s-%s' | format('a', 1) }} {{ '{} {} {0}'.format(1, 2) if false else '{0} {1} {0} {k}'.format(1, 2, k=3) }} {{ '{}{{}}'.format('a') }}
{{ 'a\nb\n\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(2, blank=true) }}|{{ 'a\nb' | indent('> ') }}
{{ 3.7 | int }} {{ '12' | int }} {{ 'x' | int(5) }} {{ '2.5' | float }} {{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ 2.1 | round(method='ceil') }} {{ -3 | abs }} {{ '5' | int + 1 }} {{ 5 | string + '!' }} {{ 42 | string | length }}
{{ 'abc' | list }} {{ 'abc' | reverse }} {{ numbers | reverse | list }} {{ numbers | unique | list }} {{ [1, 1, 2] | unique | list }} {{ numbers | batch(3) | list }} {{ numbers | slice(3) | list }} {{ 'a b c' | wordcount }} {{ '<a href="x">' | e }} {{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, true) }}
{{ 1 is odd }} {{ 2 is even }} {{ 9 is divisibleby 3 }} {{ 9 is divisibleby(2) }} {{ 'a' is string }} {{ 1 is number }} {{ 1.0 is float }} {{ 1 is integer }} {{ true is boolean }} {{ true is integer }} {{ pairs is mapping }} {{ numbers is mapping }} {{ numbers is iterable }} {{ 1 is iterable }} {{ 'a' is sequence }} {{ none is none }} {{ 1 is sameas 1 }} {{ 'a' is in ['a'] }} {{ 1 is not none }} {{ 'ab' is lower }} {{ true is true }} {{ 1 is true }} {{ range is callable }} {{ 1 is eq 1 }} {{ enable_thinking is false }}
{% for i in range(3) %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.depth }};{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% else %}none{% endfor %}|{% for i in empty %}x{% else %}empty{% endfor %}|{% for k, v in pairs.items() %}{{ k }}={{ v }} {% endfor %}|{% for k in pairs %}{{ k }}{% endfor %}|{% for c in 'añ' %}[{{ c }}]{% endfor %}
{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}|{% if true %}{% set y = 2 %}{% endif %}{{ y }}|{% with z = 5, w = x %}{{ z }}{{ w }}{% set x = 9 %}{% endwith %}{{ z }}{{ x }}
{% for i in range(2) %}{% for j in range(2) %}{{ loop.index }}{{ i }}{{ j }}{{ loop.changed(i) }} {% endfor %}{% endfor %}
{% macro m(a, b='x', c=none) %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m(b=2, a=1) }}{{ m() }}{% set r = m('q') %}{{ r | length }}{{ r is string }}
{% macro fact(n) %}{% if n <= 1 %}1{% else %}{{ n * (fact(n - 1) | int) }}{% endif %}{% endmacro %}{{ fact(6) }}
{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap('b') %}in {{ words[0] }}{% endcall %}{% macro each(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) each([1, 2]) %}<{{ x }}>{% endcall %}
{% set g = 1 %}{% macro m() %}{{ g }}{{ h }}{% endmacro %}{{ m() }}{% set g = 2 %}{% set h = 3 %}{{ m() }}
{% set block %}a {{ words[0] }}{% endset %}{{ block | upper }}|{% set b2 | upper | trim %} x {% endset %}{{ b2 }}|{% filter upper %}abc{{ 1 }}{% endfilter %}
{% set ns = namespace(a=1, l=[]) %}{% for i in range(3) %}{% set ns.a = ns.a + i %}{% set ns.l = ns.l + [i] %}{% endfor %}{{ ns.a }}{{ ns.l }}{{ ns.zz is defined }}
{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set (c, d) = [3, 4] %}{{ c }}{{ d }}{% for (i, (j, k)) in [(1, (2, 3))] %}{{ i }}{{ j }}{{ k }}{% endfor %}
{{ nested.items is callable }}{{ nested['items'] }}{{ nested.x.y[0] }}{{ nested['x']['y'].0 }} {{ dict(a=1, b=2) }} {{ dict(pairs, z=9) | length }} {{ 'a' 'b' }} {{ "q\"\n\t\x41\u00e9\\ \d" }}
{{ range(5) | list }} {{ range(2, 5) | list }} {{ range(5, 0, -2) | list }} {{ range(3) | length }} {{ range(1, 4) | sum }}
{{ range(200000) | length }}
{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %-d %y %I %p %a %b %%') }}
{{ messages[1].content }} {{ messages[0].content + '|' }} {{ (messages | last).content }} {{ (messages | selectattr('role', 'equalto', 'system') | first).content | trim }} {{ messages[-1]['role'] }} {{ messages | length }}
{% if messages[2].content is string and '</think>' in messages[2].content %}{{ messages[2].content.split('</think>')[-1].lstrip('\n') }}|{{ messages[2].content.split('</think>')[0].rstrip('\n').split('<think>')[-1].lstrip('\n') }}{% endif %}
{{ {'a': 1, 'b': [1, {'c': 'd\'e'}], 1: 2, none: true} }} {{ 'it\'s' ~ ['it\'s', 'say "x"', 'b\\n\n'] }} {{ [1e16, 1e15, 0.0001, 0.00001, 123456789.123] }}
{{ numbers | map('string') | join(',') }} {{ [[1, 'b'], [0, 'a']] | sort }} {{ messages | map(attribute='name', default='-') | join(' ') }} {{ messages | sort(attribute='role') | map(attribute='role') | join(' ') }} {{ [{'a': {'b': 2}}] | map(attribute='a.b') | list }} {{ [1, 2] | sum(start=10) }} {{ messages | selectattr('tool_calls', 'defined') | list | length }}
{% if 'a' == 'a' and not (1 > 2 or none) %}yes{% elif true %}no{% else %}never{% endif %} {% if zero %}{% elif empty %}{% else %}else{% endif %}
{% include 'x' %}
{% for i in 5 %}{% endfor %}
{{ 'x' | nofilter }}
{{ words[0](1) }}
{% endif %}
{% if true %}
{{ 'unclosed }}
{{ 1 + }}
{% set l = numbers %}{{ l.append(4) }}
{{ [3] < ['a'] }}
""".strip("\n").split("\n")] + ["\n\nx\n\n", "x\n", "{% if true %}\n  a\n  {% endif %}\n\n b \n\n", "{% if true %}\r\nx\r\n{% endif %}\r\n", "{{ 'a' }}\n{{ 'b' }}\n", "  {{ 1 }}  {% set x = 1 %}  \n  y", "{#- c -#}\n\n x {#+ c +#} \n y {# c #}\nz"]


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


class Raised(jinja2.exceptions.TemplateError):
    pass


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


if len(sys.argv) != 2:
    sys.exit(__doc__)
env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
env.filters["tojson"] = tojson
env.globals["raise_exception"] = raise_exception
env.globals["strftime_now"] = lambda f: NOW.strftime(f)
variables = {"messages": CONVERSATION["messages"], "tools": CONVERSATION["tools"], "documents": None,
             "add_generation_prompt": True, "bos_token": BOS, "eos_token": EOS, **CONVERSATION["chat_template_kwargs"]}
rows = [CONVERSATION]
for source in SOURCES:
    try:
        rows.append({"source": source, "out": env.from_string(source).render(**json.loads(json.dumps(variables)))})
    except Raised as error:
        rows.append({"source": source, "error": "raise", "message": str(error)})
    except Exception as error:
        rows.append({"source": source, "error": type(error).__name__, "message": str(error)})
with open(sys.argv[1], "w", encoding="utf-8") as out:
    out.write("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n")
print(len(rows) - 1, "templates,", sum("error" in row for row in rows), "of them fail")
