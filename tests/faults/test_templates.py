"""Chat templates: what transformers would write, in a child that has limits."""

import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock, patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.utils import chat_template_utils

from stages import renderer, templates
from stages.errors import ConfigError, InputError
from stages.tokens import render, render_all

# In the manner of well-known families: each uses other parts of the language.
TEMPLATES = {
    "headers": (
        "{{- bos_token }}{%- if messages[0]['role'] == 'system' %}"
        "{%- set system = messages[0]['content']|trim %}{%- set messages = messages[1:] %}"
        "{%- else %}{%- set system = '' %}{%- endif %}"
        "{{- '<|start|>system<|end|>\n\n' + system }}"
        "{%- for message in messages %}{%- if message.role in ['user', 'assistant'] %}"
        "{{- '<|start|>' + message['role'] + '<|end|>\n\n' + message['content'] | trim }}"
        "{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|start|>assistant<|end|>\n\n' }}{%- endif %}"
    ),
    "tools": (
        "{%- if tools %}{{ tools | tojson }}{%- endif %}"
        "{%- set ns = namespace(last=messages|length - 1) %}"
        "{%- for message in messages[::-1] %}{%- if loop.first %}{{ message | tojson }}{%- endif %}"
        "{%- endfor %}{{ messages | tojson(indent=2) }}{{ ns.last }}"
    ),
    "refusing": (
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate') }}{% endif %}[INST] {{ m['content'] }} [/INST]"
        "{% endfor %}"
    ),
    "marked": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
        "{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% if loop.index > 3 %}{% break %}"
        "{% endif %}{% endfor %}{{ eos_token }}"
    ),
    "dated": "{{ strftime_now('%Y') }} {% for m in messages %}{{ m['content'] }}\n{% endfor %}\n",
    "odd": "{{ documents is none }}{{ undefined_name }}{{ messages[0].content.upper() | e }}",
}


@pytest.fixture(scope="module")
def tokenizer(chat_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(chat_model)


def theirs(tokenizer: Any, prompt: str, system: str) -> str:
    """What transformers writes on the day that is ours."""
    system_message = [{"role": "system", "content": system}] if system else []
    messages = [*system_message, {"role": "user", "content": prompt}]
    how = {"tokenize": False, "add_generation_prompt": True}
    with patch.object(chat_template_utils, "datetime", Mock(now=lambda: renderer.TODAY)):
        return str(tokenizer.apply_chat_template(messages, **how))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@pytest.mark.parametrize("name", [*TEMPLATES, "own"])
@settings(max_examples=50, deadline=None)
@given(prompt=TEXT, system=TEXT)
def test_texts_are_those_of_transformers(
    tokenizer: Any, name: str, prompt: str, system: str
) -> None:
    own = tokenizer.chat_template
    tokenizer.chat_template = TEMPLATES.get(name, own)
    try:
        if name == "refusing" and system:
            with pytest.raises(ConfigError, match="Roles must alternate"):
                render(tokenizer, prompt, system, chat=True)
            return
        expected = theirs(tokenizer, prompt, system)
        assert render(tokenizer, prompt, system, chat=True) == expected
    finally:
        tokenizer.chat_template = own


@pytest.mark.parametrize("form", ["%d %b %Y", "%Y-%m-%d %H:%M"])
def test_a_prompt_is_the_same_on_every_day(form: str) -> None:
    """A template that asks for the date gets one, which decides no row: it is always the same."""
    template = (
        "{% if strftime_now is defined %}{% set date = strftime_now('FORM') %}{% else %}"
        "{% set date = 'none' %}{% endif %}{{ date }}"
    ).replace("FORM", form)
    day = {"%d %b %Y": "26 Jul 2024", "%Y-%m-%d %H:%M": "2024-07-26 00:00"}
    assert templates.rendered(template, {}, [[{"role": "user", "content": "x"}]]) == [day[form]]


def test_many_chats_come_back_in_order(tokenizer: Any) -> None:
    asked = [(f"prompt {i} " + "x" * (i * 50), "") for i in range(600)]
    found = render_all(tokenizer, asked, chat=True)
    assert all(f"prompt {i} " in text for i, text in enumerate(found))
    assert found[599] == theirs(tokenizer, *asked[599])


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "longer",
        ),
        ("{{ 'a' * 6000000000 }}", "memory"),
        ("{{ ('a' * 1000000) * 1000000 }}", "memory"),
        ("{% for i in range(99999) %}{{ 'a' * 100000 }}{% endfor %}", "memory|longer|MiB"),
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe|Undefined|rendered"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ raise_exception('no') }}", "no"),
        ("{% if %}", "Expected an expression"),
        ("{{ 1 / 0 }}", "division"),
        ("{{ messages | unknown }}", "unknown"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion|ended"),
    ],
)
def test_a_template_beyond_its_bounds_is_a_sentence(template: str, said: str) -> None:
    start = time.monotonic()
    chat = [{"role": "user", "content": "x"}]
    with pytest.raises(InputError, match=said) as refused:
        templates.rendered(template, {}, [chat])
    assert "--chat off" in refused.value.hint
    assert time.monotonic() - start < 60
    # The next one finds a child that works.
    assert templates.rendered("{{ messages[0].content }}", {}, [chat]) == ["x"]


def test_the_child_has_neither_torch_nor_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAL_API_KEY", "sk-marked-0123")
    monkeypatch.setattr(templates, "_process", None)
    chat = [{"role": "user", "content": "x"}]
    assert templates.rendered("y", {}, [chat]) == ["y"]
    process = templates._process
    assert process is not None
    place = Path(f"/proc/{process._child.pid}")
    assert "torch" not in (place / "maps").read_text()
    assert b"sk-marked" not in (place / "environ").read_bytes()
    opened = {str(link.readlink()) for link in (place / "fd").iterdir()}
    assert all(name.startswith(("socket:", "/dev/null")) for name in opened), opened


def test_a_stage_pays_little_for_it(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> None:
    monkeypatch.setattr(templates, "_process", None)  # its start is part of it
    asked = [(f"Write about {i}. " * 20, "You are brief.") for i in range(1000)]
    start = time.monotonic()
    render_all(tokenizer, asked, chat=True)
    seconds = time.monotonic() - start
    print(f"{seconds:.3f} s")
    assert seconds < 3  # 0.3 on a core of its own
