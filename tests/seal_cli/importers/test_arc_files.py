"""ARC's files in their forms, and what is none of them."""

import json
from pathlib import Path
from typing import Any

import pytest

from seal_cli.importers import arc_files
from stages.domains.arc import Arc
from stages.errors import InputError

arc = Arc()

PAIR = {"input": [[1]], "output": [[2]]}
TASK = {"train": [PAIR, PAIR], "test": [{"input": [[3]], "output": [[4]]}]}
OPEN = {"train": [PAIR, PAIR], "test": [{"input": [[3]]}]}


def read(path: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Title and answers of each task."""
    found = [arc.read(row, ordinal=0, split="") for row in arc_files.read(path)]
    return [(context.title, questions[0].answers) for context, questions in found]


def put(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_a_task_per_file(tmp_path: Path) -> None:
    first = put(tmp_path / "b.json", TASK)
    put(tmp_path / "a.json", OPEN)
    assert read(first) == [("b", ("[[4]]",))]
    assert read(tmp_path) == [("a", ()), ("b", ("[[4]]",))]


def test_challenges_with_their_solutions_beside_them(tmp_path: Path) -> None:
    path = put(tmp_path / "x_challenges.json", {"t": OPEN, "s": OPEN})
    assert read(path) == [("t", ()), ("s", ())]
    before = arc_files.files_of(path)
    put(tmp_path / "x_solutions.json", {"t": [[[5]]], "s": [[[6]]]})
    assert read(path) == [("t", ("[[5]]",)), ("s", ("[[6]]",))]
    assert arc_files.files_of(path) != before  # other contexts, another key


def test_lines_of_tasks(tmp_path: Path) -> None:
    path = put(tmp_path / "x.jsonl", json.dumps({"title": "t"} | TASK) + "\n")
    assert read(path) == [("t", ("[[4]]",))]


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({}, "."),
        ({"a.json": "{"}, "a.json"),
        ({"a.json": []}, "a.json"),
        ({"a.json": {}}, "a.json"),
        ({"a.json": {"t": 3}}, "a.json"),
        ({"a.json": {"t": {"train": [PAIR], "test": 3}}}, "a.json"),
        ({"a.json": {"t": {"test": [PAIR]}}}, "a.json"),
        ({"challenges.json": {"t": OPEN}, "solutions.json": {"t": []}}, "challenges.json"),
        ({"challenges.json": {"t": OPEN}, "solutions.json": {"s": [[[5]]]}}, "challenges.json"),
        ({"challenges.json": {"t": OPEN}, "solutions.json": {"t": [[["x"]]]}}, "challenges.json"),
    ],
)
def test_what_is_no_arc_file(tmp_path: Path, files: dict[str, Any], asked: str) -> None:
    for name, data in files.items():
        put(tmp_path / name, data)
    with pytest.raises(InputError):
        read(tmp_path / asked)
