from pathlib import Path

import pytest

from seal_cli.store.remote.address import reach
from stages.errors import ConfigError, InputError


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("word")
    place = reach(f"file://{tmp_path}/place")
    (tmp_path / "place/artifacts").symlink_to(outside)
    with pytest.raises(InputError, match="is a link"):
        place.put(outside / "secret", "artifacts/a/b", lambda _: None)
    with pytest.raises(InputError, match="is a link"):
        place.read("artifacts/secret")
    assert [path.name for path in outside.iterdir()] == ["secret"]
    (tmp_path / "place/file").symlink_to(outside / "secret")
    with pytest.raises(InputError, match="is a link"):
        place.get("file", tmp_path / "copy", lambda _: None)


def test_one_of_several_creates(tmp_path: Path) -> None:
    place = reach(f"file://{tmp_path}/place")
    assert [place.create("a/b", str(i).encode()) for i in range(3)] == [True, False, False]
    assert place.read("a/b") == b"0"
    assert place.sizes("a") == {"b": 1}  # and no temporary file is left


def test_there_is_no_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        reach(f"file://{tmp_path}/none/place")
    with pytest.raises(ConfigError, match="names a host"):
        reach("file://host/place")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is no folder"):
        reach(f"file://{tmp_path}/file")
