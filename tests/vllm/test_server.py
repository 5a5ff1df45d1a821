"""A real server of the shipped model and the real openai client: what `seal` may expect of both."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import OpenAI

from stages.engines import Request
from stages.engines.transformers import TransformersEngine
from stages.models import LanguageModel
from stages.training import Lora, directory

PROMPTS = ["Ada", "Ada Zeller\nNow a jeweler.", "Question: What does Ada Zeller like?\nAnswer:"]
WORDS = 16


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def write(client: OpenAI, prompt: str, model: str = "tiny", **options: Any) -> str:
    defaults = {"max_tokens": WORDS, "temperature": 0}
    made = client.completions.create(model=model, prompt=prompt, **(defaults | options))
    return str(made.choices[0].text)


def greedy(lm: LanguageModel, lora: Lora | None = None) -> list[str]:
    asked = [Request(p, seed=0, max_tokens=WORDS) for p in PROMPTS]
    return [one.text for one in TransformersEngine(lm).complete(asked, [lora] * len(asked))]


def test_greedy_texts_are_those_of_transformers(client: OpenAI, lm: LanguageModel) -> None:
    assert [write(client, p).strip() for p in PROMPTS] == [text.strip() for text in greedy(lm)]


def test_a_seed_repeats_a_text(client: OpenAI) -> None:
    first, again, other = (write(client, "Ada", temperature=1, seed=s) for s in (7, 7, 8))
    assert first == again
    assert first != other


def test_json_by_a_schema(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"]}
    schema["additionalProperties"] = False
    form = {"type": "json_schema", "json_schema": {"name": "number", "schema": schema}}
    said = write(client, "Ada", extra_body={"response_format": form}, max_tokens=60)
    assert json.loads(said) in ({"n": 1}, {"n": 2})


def test_tokens_are_counted_and_stops_are_heard(client: OpenAI) -> None:
    made = client.completions.create(model="tiny", prompt="Ada", max_tokens=5, temperature=0)
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (1, 5)
    assert made.choices[0].finish_reason == "length"
    assert "\n" not in write(client, "Ada", stop=["\n"])


def test_what_is_not_there_is_not_served(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        write(client, "Ada", model="another")


def test_adapters_come_and_go_at_run_time_and_never_reach_the_base_model(
    client: OpenAI, server: Any, lm: LanguageModel, loras: list[Lora], tmp_path: Path
) -> None:
    names = [None, *(f"adapter-{i}" for i in range(len(loras)))]
    for name, lora in zip(names[1:], loras, strict=True):
        directory.save(lora, tmp_path / str(name))
        posted = {"lora_name": name, "lora_path": str(tmp_path / str(name))}
        assert httpx.post(f"{server.url}/load_lora_adapter", json=posted).status_code == 200
    assert {m.id for m in client.models.list()} == {"tiny", *names[1:]}
    expected = [greedy(lm, lora) for lora in (None, *loras)]
    assert len({tuple(texts) for texts in expected}) == len(expected)
    asked = [(p, name) for name in names for p in PROMPTS] * 2
    with ThreadPoolExecutor(16) as pool:  # all at once: more adapters than slots, and the base
        found = list(pool.map(lambda one: write(client, one[0], one[1] or "tiny").strip(), asked))
    assert found == [text.strip() for texts in expected for text in texts] * 2
    for name in names[1:]:
        gone = httpx.post(f"{server.url}/unload_lora_adapter", json={"lora_name": name})
        assert gone.status_code == 200
        with pytest.raises(openai.NotFoundError):
            write(client, "Ada", model=str(name))
