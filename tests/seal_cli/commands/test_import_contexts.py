"""`seal import contexts --only`: named contexts, and what their key has."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from passages import PASSAGES

from seal_cli.importers import readers
from seal_cli.pipeline.import_contexts import import_contexts


@pytest.fixture
def titles(seal: Any) -> Any:
    def of(artifact: str) -> list[tuple[str, int]]:
        query = f"select title, ordinal from contexts where artifact_id = '{artifact}' order by 2"
        rows = map(json.loads, seal("sql", query, "-f", "json").out.splitlines())
        return [(row["title"], row["ordinal"]) for row in rows]

    return of


def test_named_contexts_come_in_the_order_of_the_file(
    seal: Any, passages: Path, titles: Any
) -> None:
    names = [passage["title"] for passage in PASSAGES]
    made = seal("import", "contexts", passages, "--only", f"{names[2]}, {names[0]}").id
    assert titles(made) == [(names[0], 0), (names[2], 1)]
    count = f"select count(*) from questions where artifact_id = '{made}'"
    assert seal("sql", count, "-f", "csv").out.split()[1] == "4"


def test_a_file_is_read_once(seal: Any, passages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what it is known by and for its rows; a spec that travels reads it where it arrives."""
    reads: list[Path] = []
    read = readers.read
    monkeypatch.setattr(
        readers, "read", lambda path, split: (reads.append(path), read(path, split))[1]
    )
    seal("import", "contexts", passages, "--only", PASSAGES[0]["title"])
    assert len(reads) == 1
    spec = import_contexts([str(passages)], only=PASSAGES[0]["title"])
    assert spec.read
    travelled = pickle.loads(pickle.dumps(spec))
    assert travelled == spec
    assert travelled.read is None


def test_the_key_has_what_was_chosen(seal: Any, passages: Path, tmp_path: Path) -> None:
    names = [passage["title"] for passage in PASSAGES]
    made = seal("import", "contexts", passages, "--only", f"{names[0]},{names[2]}").id
    again = seal("import", "contexts", passages, "--only", f"{names[2]},{names[0]}")
    assert again.id == made
    assert "is there already" in again.err
    query = f"select context_id from contexts where artifact_id = '{made}'"
    ids = seal("sql", query, "-f", "csv").out.split()[1:]
    assert seal("import", "contexts", passages, "--only", ",".join(ids)).id == made
    # Of another file with the same two, too; with other questions it is another.
    some = [PASSAGES[0], PASSAGES[2]]
    other = tmp_path / "other.jsonl"
    other.write_text("".join(json.dumps(passage) + "\n" for passage in some))
    assert seal("import", "contexts", other, "--only", ",".join(names[::2])).id == made
    changed = [some[0] | {"questions": some[0]["questions"][:1]}, some[1]]
    other.write_text("".join(json.dumps(passage) + "\n" for passage in changed))
    assert seal("import", "contexts", other, "--only", ",".join(names[::2])).id != made
    assert seal("import", "contexts", passages, "--only", names[0]).id != made
    whole = seal("import", "contexts", passages).id
    assert seal("import", "contexts", passages, "--only", ",".join(names)).id != whole


@pytest.mark.parametrize("absent", ["nowhere", "", "Nowhere land"])
def test_one_that_is_not_there_is_named(
    seal: Any, passages: Path, tmp_path: Path, absent: str
) -> None:
    title = PASSAGES[0]["title"]
    result = seal("import", "contexts", passages, "--only", f"{title},{absent}")
    assert (result.code, result.out) == (3, "")
    assert (absent or "an empty name") in result.err
    assert title not in result.err
    assert "3 contexts" in result.err
    assert not list((tmp_path / "store").glob("artifacts/*"))


def test_a_limit_does_not_go_with_it(seal: Any, passages: Path) -> None:
    title = PASSAGES[0]["title"]
    assert seal("import", "contexts", passages, "--only", title, "--limit", 1).code == 2
