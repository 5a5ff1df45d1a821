"""Answers are kept whole or not at all, whoever writes and however a writer ends."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from seal_cli.store.ledger import Ledger
from stages.engines import Completion

ONE, TWO = Completion("ein\nWort ☃ \udc80", 2, "stop"), Completion("", None, None)


def test_what_is_kept_is_found_by_the_next_process(tmp_path: Path) -> None:
    path = tmp_path / "requests" / "m.jsonl"
    ledger = Ledger(path)
    assert ledger.get("a") is None
    ledger["a"], ledger["b"] = ONE, TWO
    assert (ledger.get("a"), ledger.get("b"), ledger.get("c")) == (ONE, TWO, None)
    again = Ledger(path)
    assert (again.get("a"), again.get("b")) == (ONE, TWO)
    assert len(path.read_bytes().splitlines()) == 2


def test_two_that_are_open_see_what_the_other_writes(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path / "m"), Ledger(tmp_path / "m")
    one["a"] = ONE
    assert other.get("a") == ONE
    other["b"] = TWO
    one["c"] = ONE
    assert (one.get("b"), other.get("c")) == (TWO, ONE)


def test_a_line_cut_off_anywhere_spoils_nothing_else(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    ledger = Ledger(whole)
    ledger["a"], ledger["b"] = ONE, TWO
    first, second = whole.read_bytes().splitlines(keepends=True)
    for length in range(len(second)):
        path = tmp_path / f"cut{length}"
        path.write_bytes(first + second[:length])
        torn = Ledger(path)
        assert (torn.get("a"), torn.get("b")) == (ONE, None)
        torn["c"] = TWO
        for reader in (torn, Ledger(path)):
            found = [reader.get(key) for key in "abc"]
            # All but its line's end is as good as whole.
            assert found == [ONE, TWO if length == len(second) - 1 else None, TWO]


@pytest.mark.parametrize("line", ["", "[]", '{"key": "a"}', "\x00\x00", '{"completion": 3}'])
def test_lines_that_are_no_answers_are_passed_over(tmp_path: Path, line: str) -> None:
    path = tmp_path / "m"
    path.write_text(line + "\n")
    ledger = Ledger(path)
    ledger["b"] = ONE
    assert (ledger.get("a"), ledger.get("b")) == (None, ONE)


def _write(path: Path, name: str) -> None:
    ledger = Ledger(path)
    for i in range(200):
        ledger[f"{name}{i}"] = Completion(name * 500, i, "stop")


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "m"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(path, name)) for name in "xyz"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    ledger = Ledger(path)
    for name in "xyz":
        for i in range(200):
            assert ledger.get(f"{name}{i}") == Completion(name * 500, i, "stop")
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_what_the_disk_does_not_take_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path / "m")
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:9]))
    with pytest.raises(OSError, match="could not be written"):
        ledger["a"] = ONE
    monkeypatch.undo()
    ledger["a"] = TWO
    assert ledger.get("a") == TWO
