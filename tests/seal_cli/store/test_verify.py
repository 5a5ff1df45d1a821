"""`seal verify` finds whatever is not as it was written, says where, and how to heal it."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from small import Small, flip
from stored import publish
from typer.testing import CliRunner

from seal_cli.app import app
from seal_cli.store.files import MANIFEST, read_sealed
from seal_cli.store.ledger import Ledger
from seal_cli.store.publish import entry
from stages.engines import Completion
from stages.records import Verdict


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
        assert not own["reason"].endswith(".")
        if file.name != MANIFEST:
            assert own["file"] == file.relative_to(small.root / "artifacts" / artifact).as_posix()
            assert found == [own]
            assert f" rm {artifact} --yes`" in own["heal"]
        flip(file)
    assert findings(seal, "--all") == []


def test_an_artifact_is_verified_with_what_it_was_made_from(seal: Any, small: Small) -> None:
    flip(small.path("import") / "part-00000.parquet")
    line = seal("verify", small.ids["filter"]).out
    assert line.startswith(f"{small.ids['import']} part-00000.parquet: its sha256 is not")
    assert "Copy it again, or take it away with `seal " in line
    assert f"rm {small.ids['import']} --yes` and run `seal " in line
    flip(small.path("import") / "part-00000.parquet")
    flip(small.path("second") / "part-00000.parquet")
    assert findings(seal, small.ids["filter"]) == []


def test_an_input_that_is_not_here_is_named(seal: Any, small: Small) -> None:
    shutil.rmtree(small.path("adapt"))
    for command in (small.ids["filter"], "--all"):
        (found,) = findings(seal, command)
        assert found["artifact"] == small.ids["score"]
        assert found["reason"] == f"its input {small.ids['adapt']} is not here"
        assert "run its stage again" in found["heal"]
    assert findings(seal, small.ids["generate"]) == []


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


def test_a_verdict_that_failed_is_counted_as_its_manifest_does(seal: Any, tmp_path: Path) -> None:
    rows = [Verdict("a", "c", "g", correct, None, None) for correct in (True, None)]
    made = publish(tmp_path / "store", "regrade", "verdicts", rows)
    assert made.manifest["tables"]["verdicts"]["status"] == {"ok": 1, "failed": 1}
    assert findings(seal, made.id) == []


def test_the_chain_of_inputs(seal: Any, small: Small) -> None:
    """An input with other content is not the one that was used, though it has its id."""
    (weights,) = {p.parent for p in small.path("update").rglob("*.safetensors")}
    (weights / "config.json").write_text("{}")
    name = (weights / "config.json").relative_to(small.path("update")).as_posix()
    files = read_sealed(small.path("update") / MANIFEST)["files"]
    small.reseal("update", files=files | {name: entry(weights / "config.json")})
    (found,) = findings(seal, "--all")
    assert found["artifact"] == small.ids["second"]
    assert small.ids["update"] in found["reason"]


def test_an_input_that_was_made_again_is_the_one_that_was_used(seal: Any, small: Small) -> None:
    """It has other times, and its adapters took other seconds."""
    before = {stage: read_sealed(small.path(stage) / MANIFEST) for stage in ("adapt", "update")}
    for stage in before:
        flip(small.path(stage) / "part-00000.parquet")
        assert seal("rm", small.ids[stage], "--yes").code == 0
        assert seal(*small.commands[stage]).id == small.ids[stage]
        again = read_sealed(small.path(stage) / MANIFEST)
        assert again["created_at"] != before[stage]["created_at"]
    small.reseal("import", host="elsewhere", created_at="2026-01-01T00:00:00+00:00")
    assert findings(seal, "--all") == []


def test_an_input_as_it_was_recorded_before(seal: Any, small: Small) -> None:
    """Manifests of format 3 name the seals of their inputs' manifests."""
    artifact = small.store.artifact(small.ids["score"])
    old = [
        {"artifact_id": i, "kind": small.store.artifact(i).kind,
         "manifest_sha256": small.store.artifact(i).digest}
        for i in artifact.inputs
    ]  # fmt: skip
    small.reseal("score", format=3, inputs=old)
    assert findings(seal, "--all") == []
    small.reseal("adapt", host="elsewhere")
    (found,) = findings(seal, "--all")
    assert found["artifact"] == small.ids["score"]
    bare = [{k: v for k, v in one.items() if k != "manifest_sha256"} for one in old]
    small.reseal("score", inputs=bare)
    assert "not the one it was made from" in seal("verify", small.ids["score"]).out


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
    assert ".." not in seal("verify", "--all").out.replace("names/..", "")


def test_damaged_answers_are_taken_out_and_asked_again(
    seal: Any, small: Small, tmp_path: Path
) -> None:
    """As the finding says; who has the ledger open meanwhile finds every other answer."""
    file = small.root / "requests" / "endpoint.jsonl"
    answers = {f"{i:016x}": Completion(f"answer {i}", i, "stop") for i in range(5)}
    ledger = Ledger(file)
    for key, answer in answers.items():
        ledger[key] = answer
    lines = file.read_bytes().splitlines(keepends=True)
    flip(file, 8 * (len(lines[0]) + len(lines[1]) // 2))
    flip(file, 8 * (len(lines[0]) + len(lines[1]) + 3))
    with file.open("ab") as stream:
        stream.write(b'{"key": "ab')  # a process was killed here
    (found,) = findings(seal, "--all")
    assert found["reason"] == "3 answers are damaged"
    assert seal("gc").out == ""
    command = found["heal"].split("`")[1]
    assert shlex.split(command) == [
        "seal",
        "--store",
        str(small.root),
        *["gc", "--answers", "--yes"],
    ]
    assert seal(*shlex.split(command)[1:-1]).out.startswith("requests/endpoint.jsonl\t3 damaged")
    assert len(findings(seal, "--all")) == 1  # nothing was done
    assert seal(*shlex.split(command)[1:]).code == 0
    assert findings(seal, "--all") == []
    lost = {f"{i:016x}" for i in (1, 2)}
    for known in (ledger, Ledger(file)):
        assert {key for key in answers if known.get(key) is None} == lost
    for key in lost:
        ledger[key] = answers[key]
    assert {key: Ledger(file).get(key) for key in answers} == answers
    assert findings(seal, "--all") == []


@pytest.mark.parametrize("how", ["as it is", "from a pipe", "the newest"])
def test_the_command_that_heals_can_be_run_as_it_is(
    seal: Any, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Whatever the store was called when the artifact was made, and wherever it was by then."""
    words = {"as it is": small.ids["score"], "from a pipe": "-", "the newest": "@latest:score"}
    argv = ["--store", "elsewhere/store", "filter", words[how], "--rule", "best-of-n"]
    small.reseal("filter", argv=argv if how == "as it is" else [*argv[2:], "--store=there"])
    flip(small.path("filter") / "part-00000.parquet")
    (found,) = findings(seal, small.ids["filter"])
    _, rm, _, run, _ = found["heal"].split("`")
    for command in (rm, run):
        program, *arguments = shlex.split(command)
        assert program == "seal"
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.stderr
    assert done.stdout.strip() == small.ids["filter"]
    assert findings(seal, small.ids["filter"]) == []
    monkeypatch.chdir(small.root.parent)
    moved = small.root.rename("seal-store")
    flip(moved.absolute() / "artifacts" / small.ids["filter"] / "part-00000.parquet")
    line = CliRunner().invoke(app, ["verify", small.ids["filter"]]).stdout
    assert f"`seal rm {small.ids['filter']} --yes`" in line


def test_a_command_that_cannot_be_told_is_not(seal: Any, small: Small) -> None:
    """Its address was cut, or what stood on stdin is not known: the settings are."""
    for argv in ([], ["filter", "--base-url", "http://h"], ["filter", "-", "@latest:filter"]):
        small.reseal("filter", argv=argv)
        flip(small.path("filter") / "part-00000.parquet")
        (found,) = findings(seal, small.ids["filter"])
        assert found["heal"].endswith("run its stage again.")
        assert f"show {small.ids['filter']} --config`" in found["heal"]
        flip(small.path("filter") / "part-00000.parquet")


def test_healed_as_it_says(seal: Any, small: Small, tmp_path: Path) -> None:
    """Damaged, named, taken away and made again: the same id and the same rows."""
    part = small.path("filter") / "part-00000.parquet"
    rows = pq.read_table(part)
    flip(part)
    (found,) = findings(seal, small.ids["filter"])
    assert f"rm {small.ids['filter']} --yes`" in found["heal"]
    assert seal("rm", small.ids["filter"], "--yes").code == 0  # needed, but bad
    assert seal(*small.commands["filter"]).id == small.ids["filter"]
    assert pq.read_table(part).equals(rows)
    assert read_sealed(part.parent / MANIFEST)["artifact_id"] == small.ids["filter"]
