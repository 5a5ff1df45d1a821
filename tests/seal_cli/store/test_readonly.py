"""A published file is read by several threads at once: none may move another's position."""

import threading
from pathlib import Path

from seal_cli.store.readonly import PREFIX, PublishedFiles
from seal_cli.store.workspace import Workspace


def test_each_thread_has_a_position_of_its_own(
    seal: object, passages: Path, tmp_path: Path
) -> None:
    seal("import", "contexts", passages)  # type: ignore[operator]
    workspace = Workspace(tmp_path / "store")
    (artifact,) = workspace.all()
    path = artifact.files("contexts")[0]
    content = path.read_bytes()
    file = PublishedFiles(workspace.root, [artifact]).open(f"{PREFIX}{path}")
    file.seek(10)
    other = threading.Thread(target=lambda: (file.seek(0), file.read()))
    other.start()
    other.join()
    assert file.read(20) == content[10:30]
    assert file.tell() == 30
    assert file.seek(-4, 2) == len(content) - 4
    assert file.read() == content[-4:]
