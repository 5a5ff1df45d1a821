"""`seal verify` finds whatever is not as it was written, says where, and how to heal it."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small import Small, flip

from seal_cli.store.artifact import entry
from seal_cli.store.files import MANIFEST, read_sealed


def findings(seal: Any, *args: object) -> list[dict[str, Any]]:
    result = seal("verify", *args, "--json")
    found: list[dict[str, Any]] = json.loads(result.out)["findings"]
    assert result.code == (3 if found else 0), result.err
    return found


def test_a_whole_store_has_no_findings(seal: Any, small: Small) -> None:
    seal("tag", "best", small.ids["score"])
    result = seal("verify", "--all")
    assert result.out == ""
    assert result.code == 0
    report = json.loads(seal("verify", "--all", "--json").out)
    files = [path for path in (small.root / "artifacts").rglob("*") if path.is_file()]
    assert report["artifacts"] == 7
    assert report["files"] == len(files) - 7  # a manifest has a seal in place of an entry
    assert seal("verify").code == seal("verify", "--all", "@latest:score").code == 2


def test_every_file_counts_and_none_by_a_cache(seal: Any, small: Small) -> None:
    files = [path for path in (small.root / "artifacts").rglob("*") if path.is_file()]
    for file in files:
        flip(file)
        found = findings(seal, "--all")
        artifact = file.relative_to(small.root / "artifacts").parts[0]
        (own,) = (f for f in found if f["artifact"] == artifact)
        if file.name != MANIFEST:
            assert own["file"] == file.relative_to(small.root / "artifacts" / artifact).as_posix()
            assert found == [own]
            assert "seal rm" in own["heal"]
        flip(file)
    assert findings(seal, "--all") == []


def test_an_artifact_is_verified_with_what_it_was_made_from(seal: Any, small: Small) -> None:
    flip(small.path("import") / "part-00000.parquet")
    line = seal("verify", small.ids["filter"]).out
    assert line.startswith(f"{small.ids['import']} part-00000.parquet: its sha256 is not")
    assert "Copy it again, or take it away with `seal rm import-" in line
    flip(small.path("import") / "part-00000.parquet")
    flip(small.path("second") / "part-00000.parquet")
    assert findings(seal, small.ids["filter"]) == []
    shutil.rmtree(small.path("import"))  # what is not here cannot be read
    assert findings(seal, small.ids["filter"]) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"key": {"stage": "score"}}, "its key gives another id"),
        ({"base": "score-0123456789abcdef"}, "its key gives another id"),
        ({"attempt": 1}, "its key gives another id"),
        ({"tables": {"rewards": {"rows": 9, "status": {"ok": 9}}}}, "rewards has 4 rows"),
    ],
)
def test_a_manifest_that_contradicts_itself(
    seal: Any, small: Small, changes: dict[str, Any], says: str
) -> None:
    small.reseal("score", **changes)
    found = findings(seal, "--all")
    assert says in [f["reason"][: len(says)] for f in found if f["artifact"] == small.ids["score"]]


def test_a_status_that_was_counted_otherwise(seal: Any, small: Small) -> None:
    part = small.path("filter") / "part-00000.parquet"
    table = pq.read_table(part)
    pq.write_table(table.slice(1), part)
    small.reseal("filter", files={part.name: entry(part)})
    reasons = [f["reason"] for f in findings(seal, small.ids["filter"])]
    assert [r for r in reasons if r.startswith("selections has 3 rows")] == reasons


def test_the_chain_of_inputs(seal: Any, small: Small) -> None:
    """An input that was made anew is not the one that was used, though it has its id."""
    small.reseal("adapt", host="elsewhere")
    (found,) = findings(seal, "--all")
    assert found["artifact"] == small.ids["score"]
    assert small.ids["adapt"] in found["reason"]


def test_what_is_no_part_of_a_store(seal: Any, small: Small) -> None:
    (small.root / "artifacts" / "notes").mkdir()
    (small.path("score") / "notes.txt").write_text("x")
    (small.path("filter") / MANIFEST).unlink()
    (small.root / "names").mkdir()
    (small.root / "names" / "best.json").write_text("{}")
    (small.root / "requests").mkdir()
    (small.root / "requests" / "endpoint.jsonl").write_text('{"key": "a"}\n')
    found = {f["artifact"]: f["reason"] for f in findings(seal, "--all")}
    assert set(found) == {
        "notes", small.ids["score"], small.ids["filter"], "names/best.json",
        "requests/endpoint.jsonl",
    }  # fmt: skip
    assert found["requests/endpoint.jsonl"] == "1 answers are damaged"


def test_healed_as_it_says(seal: Any, small: Small, tmp_path: Path) -> None:
    """Damaged, named, taken away and made again: the same id and the same rows."""
    part = small.path("filter") / "part-00000.parquet"
    rows = pq.read_table(part)
    flip(part)
    (found,) = findings(seal, small.ids["filter"])
    assert f"`seal rm {small.ids['filter']} --yes`" in found["heal"]
    assert seal("rm", small.ids["filter"], "--yes").code == 0  # needed, but bad
    assert seal(*small.commands["filter"]).id == small.ids["filter"]
    assert pq.read_table(part).equals(rows)
    assert read_sealed(part.parent / MANIFEST)["artifact_id"] == small.ids["filter"]
