"""What a stranger stumbled over once, and must not again."""

import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

SMALL = ["--rank", 2, "--epochs", 1, "--repeats", 1]
SCRIPTED = ["--engine", "scripted", "--samples", 1]


@pytest.fixture
def contexts(seal: Any, passages: Path) -> str:
    return str(seal("import", "contexts", passages).id)


@pytest.fixture
def long_passage(seal: Any, passages: Path, tmp_path: Path) -> str:
    """The three passages, the title of one too long for any question about it."""
    rows = [json.loads(line) for line in passages.read_text().splitlines()]
    rows[1]["title"] = "long " * 2000
    path = tmp_path / "long.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(seal("import", "contexts", path).id)


def test_a_failed_examination_is_a_failed_row_of_eval(
    seal: Any, random_model: Path, long_passage: str
) -> None:
    command = ["eval", random_model, long_passage, *SCRIPTED, *SMALL]
    assert seal(*command, "--strict").code == 4
    query = "select n, n_failed, n_questions from metrics where method = 'unadapted'"
    assert seal("sql", query, "-f", "csv").out.splitlines()[1] == "2,1,4"
    assert "does not fit" in seal("sql", "select reason from answers", "-f", "csv").out


def test_a_text_files_name_counts_because_it_is_the_title(seal: Any, tmp_path: Path) -> None:
    for name in ("Paris", "Rome"):
        (tmp_path / f"{name}.md").write_text("A city on a river.")
    ids = {seal("import", "contexts", tmp_path / f"{n}.md").id for n in ("Paris", "Rome")}
    assert len(ids) == 2


def test_what_is_not_read_is_not_in_the_key(seal: Any, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/a.md").write_text("A note.")
    first = seal("import", "contexts", tmp_path / "notes").id
    (tmp_path / "notes/.DS_Store").write_text("x")
    assert seal("import", "contexts", tmp_path / "notes").id == first


def test_split_takes_only_its_own(seal: Any, tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    rows = [{"context": f"Text {s}.", "split": s} for s in ("train", "eval", "eval")]
    path.write_text(
        "".join(json.dumps(row | {"title": str(i)}) + "\n" for i, row in enumerate(rows))
    )
    assert "2 contexts" in seal("import", "contexts", path, "--split", "eval").err
    assert seal("import", "contexts", path, "--split", "test").code == 3


def test_json_lines_may_hold_unicode_line_ends(seal: Any, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    text = "one\u2028two\x85three"
    path.write_text(json.dumps({"title": None, "context": text}, ensure_ascii=False) + "\n")
    assert seal("import", "contexts", path).code == 0


def test_the_same_passages_in_two_artifacts_join_once(
    seal: Any, random_model: Path, contexts: str
) -> None:
    for limit in (0, 2):
        edits = seal("generate", contexts, "--policy", random_model, *SCRIPTED, "--limit", limit).id
        seal("score", edits, *SMALL)
    query = """
        select count(*) from rewards r join lineage l on l.artifact_id = r.artifact_id
        join self_edits s on s.artifact_id = l.ancestor and s.self_edit_id = r.self_edit_id
    """
    assert seal("sql", query, "-f", "csv").out.splitlines()[1] == "5"


def test_the_loop_takes_what_it_is_not_given_from_the_stages(
    seal: Any, random_model: Path, contexts: str
) -> None:
    sets = ["generate.engine=scripted", "generate.samples=1", "generate.seed=7", "eval.limit=1"]
    sets += ["adapt.epochs=1", "adapt.rank=2", "adapt.repeats=1", "update.rank=2"]
    options = [arg for pair in sets for arg in ("--set", pair)]
    command = ["loop", "--contexts", contexts, "--policy", random_model, "--rounds", 1, *options]
    assert seal(*command).code == 0
    config = seal("show", "@latest:generate", "--config").out
    assert "samples = 1" in config
    assert "seed = 7" in config
    query = "select distinct n from metrics"
    assert seal("sql", query, "-f", "csv").out.splitlines()[1] == "1"


def test_training_flags_do_not_go_with_trained_adapters(
    seal: Any, random_model: Path, contexts: str
) -> None:
    edits = seal("generate", contexts, "--policy", random_model, *SCRIPTED).id
    adapters = seal("adapt", edits, *SMALL).id
    refused = seal("score", adapters, "--epochs", 77)
    assert refused.code == 2
    assert "--epochs goes with self-edits" in refused.err


def test_a_strict_loop_ends_with_4(seal: Any, random_model: Path, long_passage: str) -> None:
    options = ["--set", "generate.engine=scripted", "--set", "adapt.epochs=1"]
    result = seal(
        "loop", "--contexts", long_passage, "--policy", random_model, "--rounds", 1,
        "--samples", 1, "--repeats", 1, "--strict", *options,
    )  # fmt: skip
    assert result.code == 4


def test_a_model_is_found_from_another_folder_and_by_its_id(
    seal: Any, random_model: Path, contexts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(random_model, tmp_path / "cwd/models/mine")
    edits = seal("generate", contexts, "--policy", "models/mine", *SCRIPTED).id
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    adapters = seal("adapt", edits, *SMALL)
    assert adapters.code == 0, adapters.err
    names = seal("sql", "select policy, name from policies", "-f", "csv").out.splitlines()[1]
    policy, name = names.split(",")
    assert name == "mine"
    assert seal("eval", policy, contexts, *SCRIPTED, *SMALL, "--limit", 1).code == 0
    assert seal("generate", contexts, "--policy", "./nope").code == 3


def test_the_second_round_travels_without_the_first(
    seal: Any, random_model: Path, contexts: str, tmp_path: Path
) -> None:
    policy: object = random_model
    for _ in range(2):
        edits = seal("generate", contexts, "--policy", policy, *SCRIPTED).id
        adapters = seal("adapt", edits, *SMALL).id
        rewards = seal("score", adapters).id
        writer = policy
        policy = seal("update", seal("filter", rewards).id, "--rank", 2).id
    other = tmp_path / "other"
    for artifact in (contexts, edits, adapters, writer):
        shutil.copytree(
            tmp_path / "store/artifacts" / str(artifact), other / "artifacts" / str(artifact)
        )
    assert seal("score", adapters, store=other).id == rewards
    selection = seal("filter", rewards, store=other).id
    assert seal("update", selection, "--rank", 2, store=other).id == policy


def test_a_moved_store_gets_a_new_index(seal: Any, contexts: str, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    (tmp_path / "store").rename(moved)
    seal("sql", "select 1", store=moved)
    with duckdb.connect(str(moved / "index.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from contexts").fetchone() == (3,)


@pytest.mark.parametrize(
    "command",
    [
        ["init", "--config", "nodir/x.toml"],
        ["filter", "@latest:score", "--export", "nodir/x.jsonl"],
        ["show", "@latest:rewards"],
        ["ls", "scores"],
    ],
)
def test_plain_mistakes_are_not_tracebacks(
    seal: Any, random_model: Path, contexts: str, command: list[str]
) -> None:
    edits = seal("generate", contexts, "--policy", random_model, *SCRIPTED).id
    seal("score", edits, *SMALL)
    result = seal(*command)
    assert result.code in (2, 3)
    assert result.out == ""


def test_a_store_below_a_file_or_with_glob_letters(seal: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert seal("init", store=tmp_path / "file/sub").code == 3
    assert seal("init", store=tmp_path / "exp[1]").code == 2


def test_cut_sequences_are_said(seal: Any, random_model: Path, contexts: str) -> None:
    edits = seal("generate", contexts, "--policy", random_model, *SCRIPTED).id
    seal("adapt", edits, *SMALL, "--max-length", 8)
    reasons = seal("sql", "select distinct reason from adapters", "-f", "csv").out
    assert "sequences cut at max-length" in reasons


def test_a_read_only_store_serves_hits(
    seal: Any, random_model: Path, contexts: str, tmp_path: Path
) -> None:
    import os

    command = ["generate", contexts, "--policy", random_model, *SCRIPTED]
    first = seal(*command).id
    cache = tmp_path / "store/digests.txt"
    cache.unlink(missing_ok=True)
    cache.mkdir()  # as good as not writable, for root too
    assert seal(*command).id == first
    os.rmdir(cache)  # noqa: PTH106
