"""The file system of queries: published Parquet, for reading, and nothing else."""

import gc
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from seal_cli.store.artifact import Artifact
from seal_cli.store.readonly import PREFIX, PublishedFiles
from seal_cli.store.workspace import Workspace


@pytest.fixture
def artifact(seal: Any, passages: Path, tmp_path: Path) -> Artifact:
    return Workspace(tmp_path / "store").artifact(seal("import", "contexts", passages).id)


@pytest.fixture
def files(artifact: Artifact) -> PublishedFiles:
    files = PublishedFiles()
    for proven in artifact.files("contexts"):
        files.admit(*proven)
    return files


def test_a_published_file_is_read(files: PublishedFiles, artifact: Artifact) -> None:
    ((part, _),) = artifact.files("contexts")
    path = f"{PREFIX}{part}"
    assert files.open(path).read() == part.read_bytes()
    assert files.info(path) == {"name": path, "size": part.stat().st_size, "type": "file"}
    assert files.glob(path) == [path]
    assert files.exists(path)


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "xb", "w", "r"])
def test_no_mode_but_reading_opens_anything(
    files: PublishedFiles, artifact: Artifact, mode: str
) -> None:
    for path in (artifact.files("contexts")[0][0], artifact.path / "new.parquet"):
        with pytest.raises(PermissionError, match="read-only"):
            files.open(f"{PREFIX}{path}", mode)
    assert not (artifact.path / "new.parquet").exists()


@pytest.mark.parametrize(
    "name",
    ["_manifest.json", "../../index.duckdb", "./part-00000.parquet", "*", "", "part-00001.parquet"],
)
def test_what_no_manifest_names_does_not_exist(
    files: PublishedFiles, artifact: Artifact, name: str
) -> None:
    (artifact.path / "part-00001.parquet").write_bytes(b"PAR1")  # put there afterwards
    path = f"{PREFIX}{artifact.path}/{name}"
    assert files.glob(path) == []
    assert not files.exists(path)
    for ask in (files.open, files.info, files.size, files.modified):
        with pytest.raises(FileNotFoundError):
            ask(path)
    with pytest.raises(PermissionError):
        files.ls(path)


def test_a_file_that_changes_after_it_was_proven_is_not_read(
    files: PublishedFiles, artifact: Artifact
) -> None:
    ((part, _),) = artifact.files("contexts")
    content = bytearray(part.read_bytes())
    content[40] ^= 1
    part.write_bytes(content)
    with pytest.raises(OSError, match="changed after it was proven"):
        files.open(f"{PREFIX}{part}")


def test_a_file_that_is_dropped_is_closed(files: PublishedFiles, artifact: Artifact) -> None:
    file = files.open(f"{PREFIX}{artifact.files('contexts')[0][0]}")
    descriptor = file.fileno()
    del file
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_each_thread_has_a_position_of_its_own(files: PublishedFiles, artifact: Artifact) -> None:
    """DuckDB's threads share an open file: none may move another's position."""
    ((part, _),) = artifact.files("contexts")
    content = part.read_bytes()
    file = files.open(f"{PREFIX}{part}")
    file.seek(10)
    other = threading.Thread(target=lambda: (file.seek(0), file.read()))
    other.start()
    other.join()
    assert file.read(20) == content[10:30]
    assert file.tell() == 30
    assert file.seek(-4, 2) == len(content) - 4
    assert file.read() == content[-4:]
