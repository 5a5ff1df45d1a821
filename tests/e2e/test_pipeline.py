"""The whole loop as a user runs it: six commands, pipes, rerun, other readers, another store."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from reading import tables_of, weights_of

SMALL = ["--epochs", "1", "--rank", "2", "--max-sequences", "3"]


@pytest.fixture(scope="module")
def made(
    random_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict[str, str]]]:
    """Two rounds of the six commands, the second with the policy of the first."""
    import json

    from passages import PASSAGES
    from typer.testing import CliRunner

    from seal_cli.app import app

    folder = tmp_path_factory.mktemp("pipeline")
    passages = folder / "passages.jsonl"
    passages.write_text("".join(json.dumps(passage) + "\n" for passage in PASSAGES))
    store = folder / "store"

    def seal(*args: object, stdin: str | None = None) -> str:
        result = CliRunner().invoke(app, ["--store", str(store), *map(str, args)], input=stdin)
        assert result.exit_code == 0, result.stderr
        assert result.stdout.count("\n") == 1
        return result.stdout.strip()

    contexts = seal("import", "contexts", passages)
    rounds, policy = [], str(random_model)
    for _ in range(2):
        ids = {"contexts": contexts, "writer": policy}
        ids["generate"] = seal(
            "generate", contexts, "--policy", policy, "--samples", 3, "--engine", "scripted"
        )
        ids["adapt"] = seal("adapt", "-", "--repeats", 2, *SMALL, stdin=ids["generate"])
        ids["score"] = seal("score", "-", stdin=ids["adapt"])
        ids["filter"] = seal("filter", "-", stdin=ids["score"])
        ids["update"] = policy = seal("update", "-", "--rank", 2, stdin=ids["filter"])
        ids["eval"] = seal("eval", "-", contexts, "--engine", "scripted", *SMALL, stdin=policy)
        rounds.append(ids)
    return store, rounds


def rows(store: Path, artifact: str) -> list[dict[str, Any]]:
    return tables_of(store / "artifacts" / artifact)[""]


def test_every_stage_has_all_its_rows(made: tuple[Path, list[dict[str, str]]]) -> None:
    store, rounds = made
    for number, ids in enumerate(rounds):
        assert len(rows(store, ids["generate"])) == 3 * 3
        assert len(rows(store, ids["adapt"])) == 3 * 3 * 2
        rewards = rows(store, ids["score"])
        assert len(rewards) == 3 * 3
        assert {r["status"] for r in rewards} == {"ok"}
        assert {r["round"] for r in rewards} == {number}
        assert {r["n_repeats"] for r in rewards} == {2}
        assert sum(r["kept"] for r in rows(store, ids["filter"])) == 3
        (policy,) = rows(store, ids["update"])
        assert policy["policy"] == ids["update"]
        assert policy["round"] == number + 1
        methods = {(r["method"], r["metric"]) for r in rows(store, ids["eval"])}
        assert len(methods) == 5


def test_answers_cover_every_adapter_and_question(
    made: tuple[Path, list[dict[str, str]]],
) -> None:
    store, rounds = made
    tables = tables_of(store / "artifacts" / rounds[0]["score"])
    assert len(tables["__answers"]) == (3 * 3 * 2 + 3) * 2
    assert len(tables["__verdicts"]) == len(tables["__answers"])
    assert all(v["correct"] is not None for v in tables["__verdicts"])
    assert "__adapters" not in tables  # they stay where `adapt` wrote them


def test_the_second_policy_descends_from_the_first(
    made: tuple[Path, list[dict[str, str]]],
) -> None:
    store, (first, second) = made
    assert rows(store, second["update"])[0]["parent"] == first["update"]


def test_the_policy_is_a_plain_hugging_face_model(
    made: tuple[Path, list[dict[str, str]]],
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    store, rounds = made
    folder = store / "artifacts" / rounds[1]["update"] / rows(store, rounds[1]["update"])[0]["path"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer("Harbour Ost", return_tensors="pt")
    assert model(**ids).logits.shape[1] == len("Harbour Ost")


@pytest.mark.parametrize("stage", ["generate", "adapt", "score", "filter", "update", "eval"])
def test_an_artifact_is_plain_parquet_for_everyone(
    made: tuple[Path, list[dict[str, str]]], stage: str, tmp_path: Path
) -> None:
    import datasets

    store, rounds = made
    folder = store / "artifacts" / rounds[0][stage]
    expected = len(rows(store, rounds[0][stage]))
    assert pq.read_table(folder).num_rows == expected
    loaded = datasets.load_dataset(str(folder), cache_dir=str(tmp_path))
    assert loaded["train"].num_rows == expected
    count = duckdb.execute("select count(*) from read_parquet(?)", [f"{folder}/*.parquet"])
    assert count.fetchone() == (expected,)


def test_the_index_opens_with_plain_duckdb(
    made: tuple[Path, list[dict[str, str]]], seal: Any
) -> None:
    store, _ = made
    assert seal("sql", "select 1", store=store).code == 0  # brings it up to date
    with duckdb.connect(str(store / "index.duckdb"), read_only=True) as connection:
        joined = """
            select count(*) from rewards
            join self_edits using (self_edit_id, context_id)
            join contexts using (context_id)
        """
        assert connection.execute(joined).fetchone() == (18,)


def test_copied_to_another_store_the_next_stage_gives_the_same_id(
    made: tuple[Path, list[dict[str, str]]], seal: Any, tmp_path: Path
) -> None:
    store, rounds = made
    other = tmp_path / "other"
    needed = ["contexts", "generate", "adapt", "score", "filter"]
    for stage in needed:
        source = store / "artifacts" / rounds[0][stage]
        shutil.copytree(source, other / "artifacts" / source.name)
    scored = seal("score", rounds[0]["generate"], "--repeats", 2, *SMALL, store=other)
    assert scored.code == 0, scored.err
    again = seal("update", rounds[0]["filter"], "--rank", 2, store=other)
    assert again.id == rounds[0]["update"]
    mine, theirs = (root / "artifacts" / again.id for root in (other, store))
    assert tables_of(mine) == tables_of(theirs)
    assert weights_of(mine) == weights_of(theirs)
    evaluated = seal(
        "eval", again.id, rounds[0]["contexts"], "--engine", "scripted", *SMALL, store=other
    )
    assert evaluated.id == rounds[0]["eval"]


def test_adapting_in_memory_earns_the_same_rewards(
    made: tuple[Path, list[dict[str, str]]], seal: Any
) -> None:
    store, rounds = made
    in_memory = seal("score", rounds[0]["generate"], "--repeats", 2, *SMALL, store=store)
    drop = {"artifact_id"}
    kept, fresh = (
        [{k: v for k, v in row.items() if k not in drop} for row in rows(store, artifact)]
        for artifact in (rounds[0]["score"], in_memory.id)
    )
    assert fresh == kept


def test_a_rerun_is_a_hit_without_torch(made: tuple[Path, list[dict[str, str]]]) -> None:
    store, rounds = made
    for command in (["score", rounds[0]["adapt"]], ["update", rounds[0]["filter"], "--rank", "2"]):
        program = (
            "import sys\nfrom seal_cli.__main__ import main\n"
            f"sys.argv = ['seal', '--store', {str(store)!r}, *{command}]\n"
            "try:\n    main()\nexcept SystemExit as end:\n    code = end.code\n"
            "print(code, 'torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        first, second = done.stdout.splitlines()
        assert first == rounds[0][command[0]], done.stderr
        assert second == "0 False"


def test_the_loop_is_the_same_calls_as_the_shell(
    random_model: Path, passages: Path, seal: Any
) -> None:
    contexts = seal("import", "contexts", passages).id
    sets = ["generate.engine=scripted", "adapt.epochs=1", "adapt.rank=2", "update.rank=2"]
    loop = [arg for pair in sets for arg in ("--set", pair)]
    last = seal(
        "loop", "--contexts", contexts, "--policy", random_model, "--rounds", 2, "--samples", 2,
        "--repeats", 1, "--limit", 2, "--seed", 3, *loop,
    ).id  # fmt: skip
    policy: object = random_model
    for offset in (0, 2):
        edits = seal(
            "generate", contexts, "--policy", policy, "--samples", 2, "--limit", 2,
            "--offset", offset, "--seed", 3, "--engine", "scripted",
        ).id  # fmt: skip
        small = ["--repeats", 1, "--seed", 3, "--epochs", 1, "--rank", 2]
        rewards = seal("score", edits, *small)
        assert "is there already" in rewards.err
        selection = seal("filter", rewards.id).id
        updated = seal("update", selection, "--seed", 3, "--rank", 2)
        assert "is there already" in updated.err
        policy = updated.id
    assert policy == last
    listed = seal("sql", "select distinct round from metrics order by 1", "-f", "csv").out
    assert listed.split() == ["round", "0", "1", "2"]
