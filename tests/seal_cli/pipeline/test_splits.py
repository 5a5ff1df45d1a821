"""Nothing is learned from what a policy is measured on, unless it is allowed by name."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from passages import PASSAGES

from seal_cli.pipeline.splits import EVALUATION, is_evaluation, refuse_evaluation
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError

SMALL = ["--rank", 2, "--epochs", 1]
SPLITS = ["train", "test", "train"]
SCRIPTED = ["--engine", "scripted", "--samples", 1]


@pytest.fixture
def selection(seal: Any, random_model: Path, passages: Path) -> str:
    """A selection of one self-edit about each of the three passages, imported as `train`."""
    contexts = seal("import", "contexts", passages).id
    edits = seal("generate", contexts, "--policy", random_model, *SCRIPTED).id
    return str(seal("filter", seal("score", edits, *SMALL, "--repeats", 1).id).id)


def import_as(seal: Any, path: Path, rows: list[dict[str, Any]], split: str) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(seal("import", "contexts", path, "--split", split).id)


def test_update_refuses_passages_that_are_for_evaluation_elsewhere(
    seal: Any, selection: str, tmp_path: Path
) -> None:
    before = seal("update", selection, *SMALL).id  # nobody measures on them yet
    other = import_as(seal, tmp_path / "a.jsonl", PASSAGES[:2], "Validation")
    import_as(seal, tmp_path / "b.jsonl", PASSAGES[1:2], "dev")
    assert seal("update", selection, *SMALL).id == before  # it was made: a rerun is a hit
    refused = seal("update", selection, *SMALL, "--force")
    assert refused.code == 2
    assert refused.out == ""
    assert "2 of 3 passages to learn from are for evaluation" in refused.err
    assert f"2 of split Validation in {other}" in refused.err
    assert "1 of split dev" in refused.err
    assert "--allow-split Validation --allow-split dev" in refused.err
    one = [*SMALL, "--force", "--allow-split", "validation"]
    assert seal("update", selection, *one).code == 2
    both = ["--allow-split", "validation", "--allow-split", "dev"]
    assert seal("update", selection, *SMALL, *both).id == before  # in no key


def test_other_passages_of_an_evaluation_split_do_not_matter(
    seal: Any, selection: str, tmp_path: Path
) -> None:
    import_as(seal, tmp_path / "a.jsonl", [{"title": "Another", "context": "Text."}], "eval")
    assert seal("update", selection, *SMALL).code == 0


def test_a_selection_that_keeps_none_of_them_is_fine(
    seal: Any, random_model: Path, tmp_path: Path
) -> None:
    rows = [dict(row, split=split) for row, split in zip(PASSAGES, SPLITS, strict=True)]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    contexts = seal("import", "contexts", path).id
    edits = seal("generate", contexts, "--policy", random_model, *SCRIPTED).id
    rewards = seal("score", edits, *SMALL, "--repeats", 1).id
    assert seal("update", seal("filter", rewards).id, *SMALL).code == 2
    query = tmp_path / "train.sql"
    ids = seal("sql", "select context_id from contexts where split = 'train'", "-f", "csv").out
    train = ", ".join(f"'{context_id}'" for context_id in ids.split()[1:])
    query.write_text(f"SELECT self_edit_id FROM rewards WHERE context_id IN ({train})")
    selection = seal("filter", rewards, "--rule", "sql", "--query", query).id
    assert seal("update", selection, *SMALL).code == 0


def test_a_loop_is_refused_before_it_writes_anything(
    seal: Any, random_model: Path, passages: Path
) -> None:
    contexts = seal("import", "contexts", passages, "--split", "test").id
    sets = ["generate.engine=scripted", "adapt.epochs=1", "adapt.rank=2", "update.rank=2"]
    loop = ["loop", "--contexts", contexts, "--policy", random_model, "--rounds", 1, "--samples", 1]
    loop += ["--repeats", 1, *(arg for pair in sets for arg in ("--set", pair))]
    refused = seal(*loop)
    assert refused.code == 2
    assert "--allow-split test" in refused.err
    assert seal("ls", "generate").out == ""
    assert seal(*loop, "--allow-split", "test").id.startswith("update-")


def test_a_damaged_artifact_is_named_and_passed_over(
    seal: Any,
    passages: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contexts = seal("import", "contexts", passages, "--split", "eval").id
    workspace = Workspace(tmp_path / "store")
    ids = workspace.artifact(contexts).arrow("contexts").column("context_id").to_pylist()
    with pytest.raises(ConfigError, match="3 of 3"):
        refuse_evaluation(workspace, ids)
    other = import_as(seal, tmp_path / "b.jsonl", PASSAGES[:1], "dev")
    (workspace.path(contexts) / "part-00000.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(logging.getLogger("seal_cli"), "propagate", True)  # else stderr only
    with pytest.raises(ConfigError, match=f"1 of 3 .*: 1 of split dev in {other}"):
        refuse_evaluation(workspace, ids)
    assert f"{contexts} is not whole: part-00000.parquet is missing or damaged" in caplog.text


@pytest.mark.parametrize("name", ["val-set", "eval_200", "squad_val", "VAL", "test2017", "my dev"])
def test_a_name_that_says_so_in_a_part_is_an_evaluation_split(name: str) -> None:
    assert is_evaluation(name)


@pytest.mark.parametrize("name", ["train", "latest", "value", "contest", "medieval", "", "1"])
def test_other_names_are_not(name: str) -> None:
    assert not is_evaluation(name)


def test_a_finished_loop_is_a_hit(
    seal: Any, random_model: Path, passages: Path, tmp_path: Path
) -> None:
    contexts = seal("import", "contexts", passages, "--split", "train").id
    sets = ["generate.engine=scripted", "adapt.epochs=1", "adapt.rank=2", "update.rank=2"]
    loop = ["loop", "--contexts", contexts, "--policy", random_model, "--rounds", 1, "--samples", 1]
    loop += ["--repeats", 1, *(arg for pair in sets for arg in ("--set", pair))]
    before = seal(*loop).id
    import_as(seal, tmp_path / "a.jsonl", PASSAGES, "squad_val")
    assert seal(*loop).id == before
    refused = seal(*loop, "--seed", 1)
    assert refused.code == 2
    assert "--allow-split squad_val" in refused.err


def test_the_names_are_those_that_people_use() -> None:
    assert {"eval", "evaluation", "val", "valid", "validation", "dev", "test"} == EVALUATION
