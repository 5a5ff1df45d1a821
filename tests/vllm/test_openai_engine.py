"""`--engine openai` against the server of vLLM: texts, seeds, grammars, a crash in the middle."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.engines import Completion, Request
from stages.engines.openai import OpenAIEngine
from stages.engines.settings import EndpointConfig
from stages.engines.transformers import TransformersEngine
from stages.loading import load

TINY = Path(__file__).parent.parent.parent / "seal_cli" / "tiny"
PROMPTS = ["Ada", "Ada Zeller\nNow a jeweler.", "Question: What does Ada Zeller like?\nAnswer:"]


def engine(
    server: Any, ledger: dict[str, Completion] | None = None, **options: Any
) -> OpenAIEngine:
    structured = options.pop("structured", "none")
    settings = {"base_url": server.url, "api": "completions", "attempts": 2} | options
    config = EndpointConfig(**settings)
    return OpenAIEngine(server.model, config, ledger=ledger, structured=structured)


def greedy() -> list[Request]:
    return [Request(prompt, seed=0, max_tokens=16) for prompt in PROMPTS]


def sampled(count: int, first: int = 0) -> list[Request]:
    seeds = range(first, first + count)
    return [Request("Ada", seed=s, max_tokens=8, temperature=1.0, top_p=0.95) for s in seeds]


def test_greedy_texts_and_counts_are_those_of_transformers(server: Any) -> None:
    lm = load(TINY, "cpu", "float32")
    expected = TransformersEngine(lm).complete(greedy())
    found = engine(server).complete(greedy())
    assert [c.text.strip() for c in found] == [c.text.strip() for c in expected]
    assert [c.finish for c in found] == [c.finish for c in expected]
    assert all(c.error is None and c.n_tokens for c in found)


def test_each_row_has_its_seed_whatever_stands_beside_it(server: Any) -> None:
    together = engine(server, concurrency=16).complete(sampled(24))
    alone = [engine(server).complete([one])[0] for one in sampled(24)[:4]]
    assert together[:4] == alone
    assert len({c.text for c in together}) > 12


def test_a_grammar_is_kept_to(server: Any) -> None:
    request = Request("Ada", seed=1, max_tokens=9, temperature=1.0, grammar='root ::= "yes" | "no"')
    (said,) = engine(server, structured="vllm").complete([request])
    assert said.error is None
    assert said.text in ("yes", "no")


def test_what_the_server_refuses_is_a_failed_row(server: Any) -> None:
    (unknown,) = OpenAIEngine(
        "another", EndpointConfig(base_url=server.url, api="completions")
    ).complete(greedy()[:1])
    assert str(unknown.error).startswith("the server refused with 404")
    (chat,) = engine(server, api="chat").complete(greedy()[:1])  # the model has no chat template
    assert str(chat.error).startswith("the server refused with 400")


def test_a_server_killed_in_the_middle_costs_nothing_that_was_answered(
    serve: Callable[..., Any],
) -> None:
    mortal = serve()
    port = int(mortal.url.split(":")[2].split("/")[0])
    kept: dict[str, Completion] = {}

    class Ledger(dict[str, Completion]):
        """Kills the server when half is answered."""

        def __setitem__(self, key: str, completion: Completion) -> None:
            super().__setitem__(key, completion)
            kept[key] = completion
            if len(kept) == 30:
                mortal.process.kill()

    first = engine(mortal, Ledger(), concurrency=4).complete(sampled(60))
    failed = [c for c in first if c.error is not None]
    assert 60 - len(kept) == len(failed) >= 20
    mortal.process.wait()
    again = engine(serve(port=port), dict(kept), concurrency=4)
    assert [c.error for c in again.complete(sampled(60))] == [None] * 60
    assert (again.usage.found, again.usage.answered) == (len(kept), len(failed))


@pytest.mark.parametrize("seed", [2**31 - 1, 2**63 - 1])
def test_any_seed_is_taken(server: Any, seed: int) -> None:
    (said,) = engine(server).complete(sampled(1, seed))
    assert said.error is None
