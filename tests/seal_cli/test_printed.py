"""What commands print at 80 columns, as it stands in `tests/data/printed/`.

`RENEW=1 pytest tests/seal_cli/test_printed.py` writes the files anew after an intended change.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from stores import import_all

from seal_cli.app import app
from seal_cli.groups import Group

PRINTED = Path(__file__).parents[1] / "data" / "printed"
COMMANDS = ("report paper-table2", "report rounds", "report continual", "show", "ls", "log")
# What another run, machine or folder changes: moments, seconds, where the files lie.
_MASKED = (
    (re.compile(r"\S*/official/.*(\n {4}.*)*"), "FILE"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d"), "0000-00-00 00:00"),
    (re.compile(r"(?<=00:00)( +)\d+\.\d(?=\s)"), "      0.0"),
)


@pytest.fixture(scope="module")
def untouched(official: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The release, with nothing of other tests."""
    return import_all(official, tmp_path_factory.mktemp("untouched") / "store")


@pytest.mark.parametrize("command", COMMANDS)
def test_at_80_columns(
    command: str, seal: Any, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = command.split()
    if command in ("show", "log"):
        words.append(_base(seal, untouched))
    result = seal(*words, store=untouched)
    assert result.code == 0, result.err
    text = _masked(result.out)
    if command == "show":
        text = text[text.index("\nrow ") :]  # above it stand the machine and its versions
    assert all(len(line) <= 80 for line in result.out.splitlines() if "/" not in line)
    path = PRINTED / f"{command.replace(' ', '-')}.txt"
    if os.environ.get("RENEW"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_help_at_80_columns(seal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command's help, with all of each option's text: no bracket is taken for markup."""
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("SEAL_STORE", "SEAL_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    root = typer.main.get_command(app)
    pages = [seal("--help").out]
    for path, command in _commands(root):
        page = seal(*path, "--help").out.replace("root ", "seal ")
        letters = "".join(page.split())
        for param in command.params:
            assert "".join((getattr(param, "help", None) or "").split()) in letters, param.name
        assert "[default: ]" not in page
        pages.append(page)
    text = "\n".join(pages)
    assert all(len(line) <= 80 for line in text.splitlines())
    path = PRINTED / "help.txt"
    if os.environ.get("RENEW"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def _commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield (*path, name), command
        if isinstance(command, Group):
            yield from _commands(command, (*path, name))


def _base(seal: Any, store: Path) -> str:
    """The import of `base.json`, whose id does not depend on the machine."""
    asked = "SELECT artifact_id FROM artifacts WHERE source LIKE '%/eval/base.json'"
    return str(seal("sql", asked, "-f", "csv", store=store).out.split()[1])


def _masked(text: str) -> str:
    for pattern, mask in _MASKED:
        text = pattern.sub(mask, text)
    return text
