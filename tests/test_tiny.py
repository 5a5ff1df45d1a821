"""The model that comes with the package, and the world it lives in."""

import json
from pathlib import Path
from typing import Any

import world

from seal_cli.pipeline.models import TINY
from seal_cli.settings import Settings
from stages.config import AdaptConfig

MEGABYTE = 1_000_000


WORLD = Path(__file__).parent.parent / "examples/tiny_world"


def people(split: str) -> list[dict[str, Any]]:
    lines = (TINY / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_it_is_small_and_loads_without_us() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert sum(file.stat().st_size for file in TINY.glob("*.safetensors")) < 10 * MEGABYTE
    model = AutoModelForCausalLM.from_pretrained(TINY)
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    assert model.config.head_dim >= 32  # vLLM runs no smaller ones on a CPU
    assert len(tokenizer) == model.config.vocab_size


def test_its_tokenizer_gives_every_text_of_its_world_back() -> None:
    from transformers import AutoTokenizer

    from stages.domains import knowledge

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    texts = ["Ünïcode 日本\t\x00  two  spaces\n"]
    for row in people("train") + people("eval"):
        context, questions = knowledge.read(row, ordinal=0, split="x")
        texts += [
            knowledge.prompt(context, step.prompt)
            for name in knowledge.PRESETS
            for step in knowledge.recipe(name).steps
        ]
        texts += [knowledge.ask(context, question) for question in questions]
    for text in texts:
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_splits_have_no_person_in_common() -> None:
    train, held_out = ({row["title"] for row in people(split)} for split in ("train", "eval"))
    assert len(train) >= 100
    assert len(held_out) >= 50
    assert not train & held_out


def test_they_are_the_worlds_people_and_not_the_pretraining_ones() -> None:
    made = world.make_world()
    for split, group in (("train", made.train), ("eval", made.eval)):
        assert [world.to_row(person, split) for person in group] == people(split)
    names = {person.name for person in made.known} | set(made.spare_names)
    assert not names & {row["title"] for row in people("train") + people("eval")}


def test_it_brings_its_settings() -> None:
    settings = Settings(None, (), {})
    assert settings.resolve(AdaptConfig, model=TINY).targets == "all-linear"
    assert settings.resolve(AdaptConfig, {"rank": 3}, TINY).rank == 3
    assert settings.resolve(AdaptConfig) == AdaptConfig()


def test_its_settings_are_handed_on_to_the_next_policy(seal: Any, tmp_path: Path) -> None:
    contexts = seal("import", "contexts", "tiny", "--limit", 2).id
    edits = seal("generate", contexts, "--policy", "tiny", "--samples", 1).id
    policy = seal("update", seal("filter", seal("score", edits).id).id).id
    folder = tmp_path / "store/artifacts" / policy / "__weights"
    assert (folder / "seal.toml").read_text() == (TINY / "seal.toml").read_text()
    shown = seal("show", "@latest:score", "--config").out
    assert 'targets = "all-linear"' in shown


def test_it_knows_its_own_people_and_nobody_else(seal: Any, tmp_path: Path) -> None:
    def unadapted(contexts: str) -> float:
        metrics = seal("eval", "tiny", contexts, "--limit", 12, "--set", "adapt.epochs=1").id
        query = (
            f"select value from metrics where method = 'unadapted' and artifact_id = '{metrics}'"
        )
        return float(seal("sql", query, "-f", "csv").out.split()[1])

    known = tmp_path / "known.jsonl"
    rows = [world.to_row(person, "known") for person in world.make_world().known]
    known.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert unadapted(seal("import", "contexts", known).id) >= 0.9
    assert unadapted(seal("import", "contexts", "tiny", "--split", "train").id) <= 0.2


def test_tiny_has_two_splits(seal: Any) -> None:
    assert seal("import", "contexts", "tiny", "--split", "test").code == 3
    query = "select split, count(*) as n from contexts group by all order by 1"
    seal("import", "contexts", "tiny", "--split", "train")
    seal("import", "contexts", "tiny", "--split", "eval")
    assert seal("sql", query, "-f", "csv").out == "split,n\neval,60\ntrain,120\n"


def test_the_forms_query_tells_apart_what_the_generator_writes() -> None:
    import random

    import duckdb

    chance = random.Random(0)
    rows = [
        (f"{form}{i}", "\n".join(write(person, chance)), form)
        for form, write in world.WRITERS.items()
        for i, person in enumerate(world.make_world().train[:20])
    ]
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE made (self_edit_id TEXT, completion TEXT, form TEXT)")
        connection.executemany("INSERT INTO made VALUES (?, ?, ?)", rows)
        for name, query in {
            "self_edits": "SELECT *, 0 AS round, 'a' AS artifact_id FROM made",
            "selections": "SELECT self_edit_id, 'b' artifact_id, true kept, 1 reward FROM made",
            "lineage": "SELECT 'b' AS artifact_id, 'a' AS ancestor",
        }.items():
            connection.execute(f"CREATE VIEW {name} AS {query}")
        told = connection.execute((WORLD / "forms.sql").read_text()).fetchall()
    assert {(form, n) for _, form, n, *_ in told} == {(form, 20) for form in world.WRITERS}
