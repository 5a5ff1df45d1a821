"""`seal generate` with recipes: what it offers, what its rows tell SQL, and what comes of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from stages.domains import DOMAINS
from stages.domains.knowledge import PRESETS

RECIPES = ("entity-pairs", "entity-triples", "active-reading")
EXAMPLE = Path(__file__).parents[3] / "examples/recipes/many-readers.toml"
SMALL = ["--rank", 2, "--epochs", 1]


@pytest.fixture
def ask(seal: Any) -> Any:
    def rows(query: str) -> list[dict[str, Any]]:
        result = seal("sql", query, "-f", "json")
        assert result.code == 0, result.err
        return [json.loads(line) for line in result.out.splitlines()]

    return rows


def test_help_names_every_prompt(seal: Any) -> None:
    said = "".join(seal("generate", "--help").out.split())  # however the lines are broken
    for domain in DOMAINS.values():
        assert all(preset in said for preset in domain.PRESETS)


def test_every_recipe_goes_through_the_pipeline(
    seal: Any, ask: Any, passages: Path, random_model: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    made = {}
    for recipe in (*RECIPES, EXAMPLE):
        how = ["--engine", "scripted", "--samples", 4, "--prompt", recipe]
        made[recipe] = seal("generate", contexts, "--policy", random_model, *how).id
    found = ask("select distinct prompt_name, status, reason from self_edits where status <> 'ok'")
    assert all(" found, " in row["reason"] for row in found)
    count = "select prompt_name, count(*) as n from self_edits where status = 'ok' group by all"
    assert {row["prompt_name"] for row in ask(count)} == {*RECIPES, "many-readers"}
    steps = ask("select distinct step from traces where prompt_name = 'many-readers'")
    assert {row["step"] for row in steps} == {"readers", "questions", "answers"}
    rewards = seal("score", made["entity-triples"], *SMALL, "--repeats", 1).id
    exported = tmp_path / "pairs.jsonl"
    selection = seal("filter", rewards, "--export", exported).id
    # The update learns every request of what was kept, as it was made.
    pairs = [json.loads(line) for line in exported.read_text().splitlines()]
    told = (
        "select prompt, output from traces join selections using (self_edit_id) "
        "where kept and output <> ''"
    )
    assert sorted((p["prompt"], p["completion"]) for p in pairs) == sorted(
        (row["prompt"], row["output"]) for row in ask(told)
    )
    updated = seal("update", selection, "--rank", 2, "--epochs", 1).id
    learned = ask(f"select n_examples from policies where policy = '{updated}'")
    assert learned == [{"n_examples": len(pairs)}]


def test_the_tiny_model_follows_recipes_badly_and_says_so(seal: Any, ask: Any) -> None:
    contexts = seal("import", "contexts", "tiny", "--limit", 2).id
    how = ["--policy", "tiny", "--samples", 2, "--max-tokens", 24, "--prompt", "active-reading"]
    edits = seal("generate", contexts, *how).id
    rows = ask("select status, reason, n_tokens, trace is not null as traced from self_edits")
    assert len(rows) == 4
    assert all(row["traced"] and row["n_tokens"] > 0 for row in rows)
    assert all(row["status"] == "ok" or row["reason"] for row in rows)
    assert seal("generate", contexts, *how).id == edits
    (sums,) = ask("select sum(n_tokens)::BIGINT as n from traces")
    assert sums["n"] == sum(row["n_tokens"] for row in rows)


def test_the_steps_are_the_key_and_neither_comments_nor_the_place(
    seal: Any, passages: Path, random_model: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages).id
    ids = set()
    for folder, text in [
        ("a", EXAMPLE.read_text()),
        ("b", "# Another word.\n" + EXAMPLE.read_text()),
        ("c", EXAMPLE.read_text().replace("most = 6", "most = 5")),
    ]:
        path = tmp_path / folder / "many-readers.toml"
        path.parent.mkdir()
        path.write_text(text)
        how = ["--engine", "scripted", "--samples", 1, "--prompt", path]
        ids.add(seal("generate", contexts, "--policy", random_model, *how).id)
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[steps]]\nname='a'\nprompt='{context} {b}'", "Usable: {context}, {title}"),
        ("steps", "is not TOML"),
        ("", "Write a table [[steps]]"),
    ],
)
def test_a_recipe_that_cannot_be_followed_says_what_to_do(
    seal: Any, passages: Path, random_model: Path, tmp_path: Path, text: str, said: str
) -> None:
    contexts = seal("import", "contexts", passages).id
    path = tmp_path / "bad.toml"
    path.write_text(text)
    result = seal("generate", contexts, "--policy", random_model, "--prompt", path)
    assert (result.code, said in " ".join(result.err.split())) == (2, True), result.err
    unknown = seal("generate", contexts, "--policy", random_model, "--prompt", "entity-pears")
    assert unknown.code == 2
    assert all(preset in unknown.err for preset in PRESETS)
