"""Pipes, links and folders where a store has its files: a sentence and the right code, no hang."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small import Small

from seal_cli.store.files import sealed
from seal_cli.store.publish import publish
from stages.errors import InputError

KINDS: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": lambda path: (path / "inner").mkdir(parents=True),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "itself": lambda path: path.symlink_to(path.name),
    "link": lambda path: path.symlink_to(_elsewhere(path)),
    "linked folder": lambda path: path.symlink_to(_elsewhere(path, folder=True)),
}
PLACES = (
    "names", "names/best.json", "requests", "requests/endpoint.jsonl", "index.duckdb",
    "index.stamp", "index.tmp", "digests.txt", "locks/index.lock", "locks/{filter}.lock", "trash",
    "work", "work/{filter}", "work/{filter}/out", "work/{filter}/batches",
    "work/{filter}/attempt.json", "artifacts/{filter}",
)  # fmt: skip


def _elsewhere(path: Path, *, folder: bool = False) -> Path:
    """What a link leads to, outside of the store."""
    target = path.parents[len(path.parts) - path.parts.index("store") - 1] / "precious"
    if folder:
        (target / "batches").mkdir(parents=True)
        (target / "mine.txt").write_text("precious")
    else:
        target.write_text("precious")
    return target


@pytest.mark.parametrize("kind", ["pipe", "folder", "itself", "linked folder"])
@pytest.mark.parametrize("place", PLACES)
def test_whatever_stands_in_a_place(
    seal: Any, small: Small, tmp_path: Path, place: str, kind: str
) -> None:
    """Nothing is raised, nothing waits, nothing outside changes; and once it is gone all works."""
    shutil.rmtree(small.path("filter"))
    path = small.root / place.format(**small.ids)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    KINDS[kind](path)
    for command in (
        ["tag", "best", small.ids["score"]],
        ["tag"],
        ["show", "best", "--rows", 0],
        small.commands["filter"],
        ["sql", "select count(*) from selections"],
        ["verify", "--all"],
        ["gc"],
        ["tag", "best", "--delete"],
    ):
        result = seal(*command)
        assert result.code in (0, 2, 3), (command, result.err)
        assert "too many levels" not in result.err.lower()
        if result.code:
            assert result.err.strip(), command
    if (tmp_path / "precious").is_dir():
        assert (tmp_path / "precious" / "mine.txt").read_text() == "precious"
    elif (tmp_path / "precious").exists():
        assert (tmp_path / "precious").read_text() == "precious"
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    elif (path / "inner").exists():
        shutil.rmtree(path)
    assert seal(*small.commands["filter"]).id == small.ids["filter"]
    assert seal("sql", "select count(*) as n from selections", "-f", "csv").out == "n\n4\n"


@pytest.mark.parametrize("kind", ["pipe", "folder", "dangling", "itself", "link"])
def test_a_name_that_is_no_file_says_so(seal: Any, small: Small, kind: str) -> None:
    (small.root / "names").mkdir()
    path = small.root / "names" / "best.json"
    KINDS[kind](path)
    why = {"pipe": "it is no regular file", "folder": "it is no regular file"}.get(kind, "a link")
    result = seal("show", "best")
    assert result.code == 3
    assert why in result.err
    assert why in seal("tag").err
    assert "names/best.json: the name best is damaged" in seal("verify", "--all").out
    result = seal("tag", "best", small.ids["score"])  # given again, it is whole
    if kind == "folder":
        assert result.code == 3
        assert "best.json is a folder where a file belongs. Move it away." in " ".join(
            result.err.split()
        )
        assert (path / "inner").is_dir()
        assert seal("tag", "best", "--delete").code == 3
        assert [p.name for p in path.parent.iterdir()] == ["best.json"]
    else:
        assert result.code == 0
        assert seal("show", "best").code == 0


def test_a_name_of_no_artifact(seal: Any, small: Small) -> None:
    (small.root / "names").mkdir()
    for content in ({"name": "best"}, {"name": "best", "artifact_id": ["x"]}):
        (small.root / "names" / "best.json").write_text(sealed(content))
        assert seal("show", "best").code == 3


@pytest.mark.parametrize("folder", ["", "out", "batches"])
def test_a_linked_work_folder_is_refused_before_the_work(
    seal: Any, small: Small, tmp_path: Path, folder: str
) -> None:
    shutil.rmtree(small.path("filter"))
    path = small.root / "work" / small.ids["filter"] / folder
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "precious").mkdir()
    path.symlink_to(tmp_path / "precious")
    result = seal(*small.commands["filter"])
    assert (result.code, result.out) == (3, "")
    assert "is a link. Move it away" in " ".join(result.err.split())
    assert not small.path("filter").exists()
    assert list((tmp_path / "precious").iterdir()) == []


@pytest.mark.parametrize("name", ["__weights/vocab (1).txt", "-rf", "é.json", "a\nb"])
def test_a_file_that_no_manifest_may_name_is_not_published(
    small: Small, tmp_path: Path, name: str
) -> None:
    """It would be an artifact that no command reads."""
    folder, target = tmp_path / "out", small.root / "artifacts" / "score-0123456789abcdef"
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text("x")
    with pytest.raises(InputError, match="no name of a file in an artifact"):
        publish(folder, target, {})
    assert not target.exists()
