"""Publishing by one rename, and refusing what is damaged."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stored import manifest

from seal_cli.store.artifact import Artifact
from seal_cli.store.parts import write_parts
from seal_cli.store.publish import publish
from seal_cli.store.schema import to_table
from stages.errors import InputError
from stages.records import Context

ID = "import-0123456789abcdef"
ROWS = [Context(f"c{i}", i, "knowledge", "train", "T", f"text {i}") for i in range(5)]


def draft(folder: Path) -> dict[str, object]:
    """An artifact folder that is not published yet, and its manifest."""
    folder.mkdir(parents=True)
    write_parts(folder, "contexts", [to_table("contexts", ROWS, ID)])
    return manifest(ID, "contexts", len(ROWS))


@pytest.fixture
def published(tmp_path: Path) -> Artifact:
    target = tmp_path / "artifacts" / ID
    target.parent.mkdir()
    publish(tmp_path / "out", target, draft(tmp_path / "out"))
    return Artifact(target)


def test_rows_come_back_as_they_were(published: Artifact) -> None:
    assert published.rows(Context) == ROWS
    assert not (published.path.parent.parent / "out").exists()


def test_the_manifest_has_the_digest_of_every_file(published: Artifact) -> None:
    from seal_cli.store.identity import file_digest

    for name, entry in published.manifest["files"].items():
        assert file_digest(published.path / name) == entry["sha256"]
        assert (published.path / name).stat().st_size == entry["bytes"]
    assert len(published.manifest["files"]) == 1


def test_of_many_publishers_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "artifacts" / ID
    target.parent.mkdir()
    drafts = [(folder, draft(folder)) for folder in (tmp_path / f"out{i}" for i in range(8))]

    def race(entry: tuple[Path, dict[str, object]]) -> bool:
        try:
            publish(entry[0], target, entry[1])
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(race, drafts)) == 1
    assert Artifact(target).rows(Context) == ROWS


def test_a_renamed_folder_is_refused(published: Artifact) -> None:
    other = published.path.with_name("import-fedcba9876543210")
    published.path.rename(other)
    with pytest.raises(InputError, match="holds import-"):
        Artifact(other)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"artifact_id": "x"}', "\x00"])
def test_a_broken_manifest_is_refused(published: Artifact, content: str) -> None:
    (published.path / "_manifest.json").write_text(content)
    with pytest.raises(InputError):
        Artifact(published.path)


def test_weights_stay_inside(published: Artifact, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("")
    (published.path / "link").symlink_to(tmp_path / "secret")
    for relative in ("../../secret", "link", "/etc/passwd", "__weights"):
        with pytest.raises(InputError):
            published.weights(relative)


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    write_parts(folder, "contexts", [])
    publish(folder, tmp_path / ID, manifest(ID, "contexts"))
    assert Artifact(tmp_path / ID).rows(Context) == []
    assert json.loads((tmp_path / ID / "_manifest.json").read_text())["artifact_id"] == ID
