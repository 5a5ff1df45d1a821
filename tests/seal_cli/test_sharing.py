"""Push, pull and --remote with a folder; other places go through the same in tests/machines."""

from pathlib import Path

import pytest
from places import *  # noqa: F403
from places import At
from small import flip


@pytest.fixture
def place(tmp_path: Path) -> At:
    folder = tmp_path / "place"
    return At(f"file://{folder}", lambda name: flip(folder / name), inside=True)
