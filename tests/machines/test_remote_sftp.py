"""Push, pull and --remote with a folder behind SSH."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from far_servers import behind_ssh, ssh
from places import (  # noqa: F401
    At,
    said,
    test_a_flipped_byte_is_found_and_repaired,
    test_a_killed_pull_goes_on,
    test_a_killed_push_goes_on,
    test_several_pushers_of_one_id,
    test_tables_first_and_weights_later,
    test_there_and_back,
)
from small import Small

pytest.importorskip("asyncssh", reason="needs asyncssh: the extra sftp")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, dict[str, str]]]:
    with ssh(tmp_path_factory.mktemp("ssh")) as found:
        yield found


@pytest.fixture
def place(server: tuple[int, dict[str, str]], tmp_path: Path) -> At:
    return behind_ssh(*server, tmp_path / "place")


def test_what_cannot_be_reached_is_said(place: At, made: Small, tmp_path: Path) -> None:
    other, edits = tmp_path / "other", made.ids["generate"]
    assert f"{edits} is not at {place.url}" in said(place.seal(other, "pull", edits, place.url), 3)
    nowhere = place.url.replace(str(tmp_path), f"{tmp_path}/none")
    assert "there is no folder" in said(place.seal(made.root, "push", edits, nowhere), 2)
    stranger = tmp_path / "home"
    (stranger / ".ssh").mkdir(parents=True)
    unknown = place.seal(other, "pull", edits, place.url, HOME=str(stranger))
    assert "cannot be used: Host key is not trusted" in said(unknown, 5)
    known = Path(place.environ["HOME"]) / ".ssh/known_hosts"
    (stranger / ".ssh/known_hosts").write_text(known.read_text())
    refused = place.seal(other, "pull", edits, place.url, HOME=str(stranger))
    assert "refuses access" in said(refused, 5)
    closed = place.seal(other, "pull", edits, "sftp://127.0.0.1:1/place")
    assert "cannot be used" in said(closed, 5)
