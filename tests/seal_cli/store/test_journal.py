"""What counts in a work folder, and who may hold it."""

import os
import shutil
import time
from pathlib import Path
from threading import Thread
from typing import Any
from unittest.mock import Mock

import pytest
from small import Small

from seal_cli.store import parts
from seal_cli.store.journal import Journal, Made, locked
from stages.errors import BusyError, InputError
from stages.records import Context

ROW = Context("c", 0, "knowledge", "train", "T", "text")


def test_a_batch_counts_when_it_has_its_final_name(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", "import-0123456789abcdef")
    assert journal.begin({"batch": 4}) == {"batch": 4}
    assert journal.begin({"batch": 9}) == {"batch": 4}  # how it was cut at first
    journal.append("000000", [ROW])
    (journal.batches / "000001.tmp").mkdir()
    (journal.batches / "000001.tmp" / "contexts.parquet").write_text("half")
    assert journal.finished() == {"000000"}
    assert list(journal.rows(["000000"])) == [ROW]
    assert not (journal.batches / "000001.tmp").exists()


def test_a_failing_batch_leaves_nothing_that_counts(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", "import-0123456789abcdef")
    journal.begin({})

    def rows() -> object:
        yield ROW
        raise RuntimeError

    with pytest.raises(RuntimeError):
        journal.append("000000", rows())  # type: ignore[arg-type]
    assert journal.finished() == set()
    journal.append("000000", [ROW])
    assert journal.finished() == {"000000"}


def test_a_lock_is_held_by_one_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "score-0123456789abcdef.lock"
    message = r"score-0123456789abcdef is being made by process \d+"
    with (
        locked(path, wait=False),
        pytest.raises(BusyError, match=message),
        locked(path, wait=False),
    ):
        pass
    with locked(path, wait=False):
        pass


def test_a_lock_goes_with_its_holder(tmp_path: Path) -> None:
    """One that waits while it is removed takes the next, never one that is nowhere any more."""
    path, order = tmp_path / "score-0123456789abcdef.lock", list[str]()

    def hold(name: str) -> None:
        with locked(path, wait=True):
            order.append(name)
            assert path.exists()
            time.sleep(0.02)
            assert order[-1] == name  # nobody else is inside
            order.append(name)

    threads = [Thread(target=hold, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order[::2] == order[1::2]
    assert len(order) == 16
    assert not path.exists()


@pytest.mark.parametrize("fails", ["at once", "after a batch"])
def test_a_run_that_fails_leaves_what_is_worth_keeping(
    seal: Any, small: Small, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    store = small.store
    for one in ("filter", "update", "second"):
        shutil.rmtree(small.path(one))
    if fails == "at once":
        (rule := small.root.parent / "bad.sql").write_text("SELECT self_edit_id FROM nothing")
        assert seal(*small.commands["filter"], "--rule", "sql", "--query", rule).code == 2
        (bad := small.root.parent / "bad.jsonl").write_text('{"title": "T"}\n')
        assert seal("import", "contexts", bad).code == 3
    else:
        monkeypatch.setattr(
            "seal_cli.execution.attempt.write_parts", Mock(side_effect=InputError("x", "y"))
        )
        assert seal(*small.commands["filter"]).code == 3
    kept = [] if fails == "at once" else [small.ids["filter"]]
    assert [path.name for path in store.work.iterdir()] == kept
    assert list(store.locks.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.chdir(small.root.parent)
    assert seal(*small.commands["filter"]).id == small.ids["filter"]
    assert [*store.work.iterdir(), *store.locks.iterdir()] == []


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "folder"])
def test_a_lock_that_is_no_file_of_the_store_is_refused(tmp_path: Path, kind: str) -> None:
    victim, lock = tmp_path / "victim", tmp_path / "index.lock"
    if kind == "link":
        victim.write_text("precious")
    if kind in ("link", "dangling"):
        lock.symlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(InputError, match="no regular file"), locked(lock, wait=False):
        pass
    assert victim.exists() == (kind == "link")
    assert kind != "link" or victim.read_text() == "precious"


def made(journal: Journal, names: list[str], items: list[str]) -> list[str]:
    return [row.text for row in Made(journal, names, items) if isinstance(row, Context)]


def rows_of(*items: str) -> list[Context]:
    return [
        Context(item, 0, "knowledge", "train", "T", f"{item}{i}") for i, item in enumerate(items)
    ]


def test_rows_follow_the_items_whatever_batch_they_are_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "ROWS_AT_ONCE", 2)  # several pieces in a batch
    journal = Journal(tmp_path / "work", "import-0123456789abcdef")
    journal.begin({})
    journal.append("000000", rows_of("b", "a", "b", "a"))
    journal.append("000001", rows_of("c", "of none", "d", "c"))
    journal.append("000002", rows_of("a"))
    names = ["000000", "000001", "000002"]
    assert made(journal, names[1:2], ["c", "d"]) == ["c0", "of none1", "c3", "d2"]
    assert made(journal, names, ["a", "b", "c", "d"]) == [
        "a1", "a3", "of none1", "a0", "b0", "b2", "c0", "c3", "d2",
    ]  # fmt: skip
    pieces = Made(journal, names, ["a", "b", "c", "d"]).table("contexts")
    assert parts.write_parts(tmp_path / "out", "contexts", pieces) == {
        "rows": 9, "status": {"ok": 9},
    }  # fmt: skip


def test_what_was_damaged_since_is_not_put_together(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "work", "import-0123456789abcdef")
    journal.begin({})
    journal.append("000000", [ROW])
    file = journal.batches / "000000" / "contexts.parquet"
    file.write_bytes(file.read_bytes().replace(b"text", b"taxt"))
    with pytest.raises(InputError, match=r"000000 of .* is damaged"):
        list(Made(journal, ["000000"], ["c"]))
