"""Self-edits: how many, in which order, under which ids and seeds, with which status."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stages.config import GenerateConfig
from stages.domains import knowledge
from stages.engines import Request
from stages.engines.scripted import ScriptedEngine
from stages.engines.transformers import TransformersEngine
from stages.errors import RowFailure
from stages.generate import generate
from stages.models import LanguageModel
from stages.records import Context, Policy, SelfEdit


@pytest.fixture
def write(world: list[Any], policy: Policy) -> Callable[..., list[SelfEdit]]:
    """`write(script, **config)`: what a scripted policy writes about the two passages."""

    def go(
        script: Callable[[Request], str] | None = None,
        chosen: Sequence[Context] | None = None,
        **config: Any,
    ) -> list[SelfEdit]:
        rows = generate(
            [context for context, _ in world] if chosen is None else chosen,
            policy=policy,
            engine=ScriptedEngine(script) if script else ScriptedEngine(),
            domain=knowledge,
            render=lambda prompt: f"<{prompt}>",
            config=GenerateConfig(**config),
        )
        return list(rows)

    return go


def test_there_are_so_many_samples_per_context_in_order(write: Any, world: list[Any]) -> None:
    rows = write(samples=3)
    assert [(row.context_id, row.sample) for row in rows] == [
        (context.context_id, sample) for context, _ in world for sample in range(3)
    ]
    assert {row.status for row in rows} == {"ok"}


def test_a_row_holds_the_exact_prompt_and_who_was_asked(
    write: Any, world: list[Any], policy: Policy
) -> None:
    seen: list[Request] = []
    (row, *_) = write(
        lambda r: seen.append(r) or " Old. \n", samples=1, temperature=0.7, top_p=0.5, max_tokens=9
    )
    template = knowledge.recipe("implications").steps[0].prompt
    assert row.prompt == f"<{knowledge.prompt(world[0][0], template)}>" == seen[0].prompt
    assert (seen[0].temperature, seen[0].top_p, seen[0].max_tokens) == (0.7, 0.5, 9)
    assert (row.completion, row.finish, row.seed) == ("Old.", "stop", seen[0].seed)
    assert (row.policy, row.round, row.prompt_name) == (policy.policy, 0, "implications")


def test_seeds_do_not_depend_on_how_many_samples_or_contexts_there_are(
    write: Any, world: list[Any]
) -> None:
    few, many = write(samples=2), write(samples=5)
    by_row = {(row.context_id, row.sample): row for row in many}
    assert all(by_row[row.context_id, row.sample] == row for row in few)
    assert write(samples=2, chosen=[world[1][0]]) == few[2:]
    assert len({row.seed for row in many}) == 10


def test_another_run_seed_gives_other_seeds_and_ids(write: Any) -> None:
    rows = write(lambda r: "same", samples=2) + write(lambda r: "same", samples=2, seed=1)
    assert len({row.self_edit_id for row in rows}) == 8
    assert len({row.seed for row in rows}) == 8


def test_an_id_follows_the_text_and_the_prompt(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "implications.txt"  # the name of a preset, another text
    path.write_text("Imply:\n\n{context}")
    variants = [
        write(lambda r: "Old.", samples=1),
        write(lambda r: "New.", samples=1),
        write(lambda r: "Old.", samples=1, prompt="rewrite"),
        write(lambda r: "Old.", samples=1, prompt=str(path)),
    ]
    assert len({rows[0].self_edit_id for rows in variants}) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "no text"), ("\n \n", "no text"), ("a\x00b", "control"), ("x" * 200_001, "characters")],
)
def test_what_cannot_be_trained_on_is_invalid_and_its_text_is_kept(
    write: Any, text: str, reason: str
) -> None:
    (row, *_) = write(lambda r: text, samples=1)
    assert row.status == "invalid"
    assert reason in row.reason
    assert row.completion == text.strip()


def test_a_failed_engine_is_a_failed_row_and_its_siblings_are_fine(write: Any) -> None:
    def script(request: Request) -> str:
        if "Vik" in request.prompt:
            raise RowFailure("the server is down")
        return "Old."

    rows = write(script, samples=1)
    assert [(row.status, row.reason) for row in rows] == [
        ("ok", None),
        ("failed", "the server is down"),
    ]
    assert (rows[1].completion, rows[1].n_tokens, rows[1].finish) == ("", 0, None)


def test_a_text_cut_at_its_limit_says_so(write: Any) -> None:
    (row, *_) = write(lambda r: "one two three", samples=1, max_tokens=2)
    assert (row.completion, row.finish, row.n_tokens, row.status) == ("one two", "length", 2, "ok")


def test_a_real_model_writes_the_same_whatever_the_decode_batch(
    language_model: LanguageModel, world: list[Any], policy: Policy
) -> None:
    long = replace(world[1][0], text=world[1][0].text * 3)
    rows = [
        list(
            generate(
                [world[0][0], long],
                policy=policy,
                engine=TransformersEngine(language_model, batch=batch),
                domain=knowledge,
                render=str,
                config=GenerateConfig(samples=3, max_tokens=12),
            )
        )
        for batch in (1, 4, 16)
    ]
    assert rows[0] == rows[1] == rows[2]
    assert len({row.completion for row in rows[0]}) == 6
