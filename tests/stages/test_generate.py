"""Self-edits: how many, in which order, under which ids and seeds, with which status."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from stages.config import GenerateConfig
from stages.domains import knowledge
from stages.domains.arc import Arc
from stages.engines import Request
from stages.engines.scripted import ScriptedEngine
from stages.engines.transformers import TransformersEngine
from stages.errors import ConfigError, RowFailure
from stages.generate import generate
from stages.loading import load
from stages.models import LanguageModel
from stages.recipes import texts
from stages.records import Context, Policy, SelfEdit
from stages.tokens import render
from stages.trace import from_json


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
            recipe=knowledge.recipe(str(config.get("prompt", "default"))),
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
    assert row.prompt == knowledge.prompt(world[0][0], template) == seen[0].prompt
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
                recipe=knowledge.recipe("default"),
                config=GenerateConfig(samples=3, max_tokens=12),
            )
        )
        for batch in (1, 4, 16)
    ]
    assert rows[0] == rows[1] == rows[2]
    assert len({row.completion for row in rows[0]}) == 6


def test_a_row_holds_what_the_chat_template_made_of_the_prompt(
    chat_model: Path, world: list[Any], policy: Policy
) -> None:
    lm = load(chat_model, "cpu", "float32")
    engine = TransformersEngine(lm, chat=True)
    (row, _) = generate(
        [context for context, _ in world], policy=policy, engine=engine, domain=knowledge,
        recipe=knowledge.recipe("default"), config=GenerateConfig(samples=1, max_tokens=3),
    )  # fmt: skip
    asked = knowledge.prompt(world[0][0], knowledge.recipe("default").steps[0].prompt)
    assert row.prompt == render(lm.tokenizer, asked, chat=True) != asked


LIST, PAIRS = "Read the passage, then list", "Read the passage, then write a short paragraph about"


def listing(request: Request) -> str:
    """Lists four things; writes two paragraphs about what it is asked about."""
    if LIST in request.prompt:
        return "Here they are:\n- Ost\n- the light\n- 1871\n- 31 m"
    about = request.prompt.rstrip("\n").rsplit("\n", 1)[1]
    return f"On {about}\n\nThat is all."


def test_a_step_is_asked_about_all_contexts_at_once_and_builds_on_the_one_before(
    world: list[Any], policy: Policy
) -> None:
    class Watched(ScriptedEngine):
        batches: list[list[Request]] = []  # noqa: RUF012

        def complete(self, requests: Sequence[Request], loras: Any = ()) -> Any:
            self.batches.append(list(requests))
            return super().complete(requests, loras)

    engine = Watched(listing)
    rows = list(
        generate(
            [context for context, _ in world], policy=policy, engine=engine, domain=knowledge,
            recipe=knowledge.recipe("entity-pairs"), config=GenerateConfig(samples=3),
        )
    )  # fmt: skip
    assert [len(batch) for batch in engine.batches] == [6, 30]
    requests = [request for batch in engine.batches for request in batch]
    assert len({request.seed for request in requests}) == 36
    assert [row.prompt for row in rows] == [request.prompt for request in engine.batches[0]]
    told = [entry for row in rows for entry in from_json(row.trace or "")]
    asked = [r for i in range(6) for r in (requests[i], *requests[6 + 5 * i : 11 + 5 * i])]
    assert [(e.prompt, e.seed, e.output) for e in told] == [
        (r.prompt, r.seed, listing(r).strip()) for r in asked
    ]
    assert [e.step for e in told[:6]] == ["entities", *["pairs"] * 5]
    assert told[1].items in combinations(("Ost", "the light", "1871", "31 m"), 2)
    assert f"about {told[1].items[0]} and {told[1].items[1]}:" in told[1].prompt
    assert world[0][0].text in told[1].prompt


def test_what_the_learned_steps_wrote_is_the_self_edit_a_text_for_each(
    write: Any, world: list[Any]
) -> None:
    (row, *_) = write(listing, samples=1, prompt="entity-triples", max_tokens=20)
    entries = from_json(row.trace)
    assert [entry.step for entry in entries] == ["entities", *["pairs"] * 5, *["triples"] * 4]
    assert (row.status, row.text_split, row.finish) == ("ok", "blocks", "stop")
    assert row.n_tokens == sum(entry.n_tokens for entry in entries)
    assert len({entry.items for entry in entries}) == 10
    found = knowledge.lessons(
        world[0][0], row.completion, row.prompt_name, limit=99, split=row.text_split
    )
    assert len(found) == 10  # nine, and the passage
    first, second = entries[1].items
    assert found[0].completion == f"Harbour Ost\nOn {first} and {second}:\nThat is all."


def test_another_seed_or_sample_chooses_other_pairs(write: Any) -> None:
    def pairs(**config: Any) -> list[list[tuple[str, ...]]]:
        rows = write(listing, prompt="entity-pairs", **config)
        return [[e.items for e in from_json(row.trace) if e.items] for row in rows]

    few = pairs(samples=2)
    assert pairs(samples=4)[:2] == few[:2]
    assert len({tuple(chosen) for chosen in pairs(samples=4)}) > 1
    assert pairs(samples=2, seed=1) != few


def test_a_step_that_lists_too_little_is_the_policys_fault(write: Any) -> None:
    rows = write(lambda r: "1. Ost" if "Vik" in r.prompt else listing(r), prompt="entity-pairs")
    assert {(r.status, r.reason) for r in rows[:5]} == {("ok", None)}
    assert {(r.status, r.reason, r.completion) for r in rows[5:]} == {
        ("invalid", "entities: 1 found, pairs needs 2", "")
    }
    assert [entry.output for entry in from_json(rows[5].trace)] == ["1. Ost"]
    rows = write(lambda r: listing(r) if LIST in r.prompt else " ", prompt="entity-pairs")
    assert {(r.status, r.reason) for r in rows} == {("invalid", "no text to train on")}


def test_one_failed_request_fails_its_self_edit_and_no_other(write: Any) -> None:
    def script(request: Request) -> str:
        if (
            PAIRS in request.prompt
            and "Vik" in request.prompt
            and "1871 and 31 m:" in request.prompt
        ):
            raise RowFailure("the server is down")
        return listing(request)

    rows = write(script, samples=5, prompt="entity-pairs")
    assert {(row.status, row.reason) for row in rows[:5]} == {("ok", None)}
    assert "failed" in {row.status for row in rows[5:]}
    for row in rows:
        failed = [entry.items for entry in from_json(row.trace) if entry.error]
        assert len(from_json(row.trace)) == 6
        if row.status == "failed":
            assert (row.reason, row.completion) == ("the server is down", "")
            assert failed == [("1871", "31 m")]
        else:
            assert failed == []


def test_every_shipped_recipe_and_one_of_ones_own(write: Any, tmp_path: Path) -> None:
    def script(request: Request) -> str:
        return "\n".join(f"{i}. Fact {i} of the harbour." for i in range(1, 9))

    chain = tmp_path / "chain.toml"
    chain.write_text(
        "[[steps]]\nname = 'notes'\nprompt = 'Note: {context}'\n"
        "[[steps]]\nname = 'essay'\nprompt = 'Of {title}, from {notes}'\n"
    )
    counts = {"active-reading": 5, "entity-pairs": 5, "entity-triples": 10, "self-qa": 1}
    for prompt in (*knowledge.PRESETS, str(chain)):
        rows = write(script, samples=1, prompt=prompt)
        assert {row.status for row in rows} == {"ok"}
        assert all((row.trace is None) == knowledge.recipe(prompt).single for row in rows)
        assert all(
            len(texts(row.completion, row.text_split)) == counts.get(prompt, 8) for row in rows
        ), prompt
    assert "Of Harbour Vik, from 1. Fact 1" in from_json(rows[1].trace)[1].prompt


def test_steps_are_free_text(policy: Policy, tmp_path: Path) -> None:
    context, _ = Arc().read(
        {"title": "t", "train": [{"input": [[1]], "output": [[2]]}], "test": []},
        ordinal=0,
        split="",
    )
    steps = "[[steps]]\nname = 'a'\nprompt = '{demonstrations}'\n"
    path = tmp_path / "r.toml"
    path.write_text(steps + "[[steps]]\nname = 'b'\nprompt = '{a}'\n")
    with pytest.raises(ConfigError) as error:
        list(
            generate(
                [context], policy=policy, engine=ScriptedEngine(), domain=Arc(),
                recipe=Arc().recipe(str(path)), config=GenerateConfig(constrained=True),
            )
        )  # fmt: skip
    assert "several steps" in error.value.message
