"""Push, pull and --remote with a folder; other places go through the same in tests/machines."""

from pathlib import Path
from typing import Any

import pytest
from places import *  # noqa: F403
from places import At
from small import Small, flip

from seal_cli.api import Seal
from stages.errors import InputError


@pytest.fixture
def place(tmp_path: Path) -> At:
    folder = tmp_path / "place"
    return At(f"file://{folder}", lambda name: flip(folder / name), inside=True)


def test_python_shares_as_the_shell_does(place: At, made: Small, tmp_path: Path) -> None:
    here, there = Seal(made.root), Seal(tmp_path / "other")
    here.push(made.ids["score"], place.url)
    pulled = there.pull(made.ids["adapt"], place.url, weights=False)
    assert pulled.id == made.ids["adapt"]
    assert there.artifact(pulled).artifact.removed
    with pytest.raises(InputError, match="no artifact"):
        there.filter(made.ids["score"])
    shared = Seal(tmp_path / "other", remote=place.url)
    assert shared.filter(made.ids["score"]).id == made.ids["filter"]
    assert made.ids["filter"] in shared.remote.place.ids()


def test_a_remote_that_is_wrong_is_said_before_anything(place: At, made: Small, seal: Any) -> None:
    for url in ("s3://key:word@bucket", "ftp://host/place", "file:///none/such/place"):
        result = seal(*made.commands["import"], "--remote", url)
        assert result.code == 2
        assert "word" not in result.err
    assert seal("push", made.ids["import"]).code == 2
    assert "no URL is given" in seal("push", made.ids["import"]).err
    assert "no artifact is given" in seal("push", place.url).err
