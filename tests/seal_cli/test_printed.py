"""What commands print at 80 columns, as it stands in `tests/data/printed/`.

`RENEW=1 pytest tests/seal_cli/test_printed.py` writes the files anew after an intended change.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from stores import import_all

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


def _base(seal: Any, store: Path) -> str:
    """The import of `base.json`, whose id does not depend on the machine."""
    asked = "SELECT artifact_id FROM artifacts WHERE source LIKE '%/eval/base.json'"
    return str(seal("sql", asked, "-f", "csv", store=store).out.split()[1])


def _masked(text: str) -> str:
    for pattern, mask in _MASKED:
        text = pattern.sub(mask, text)
    return text
