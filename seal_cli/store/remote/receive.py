"""A foreign artifact into a store: every file proven, then one rename under the key's lock.

The manifest stays as it came, byte for byte. Files come into the work folder of their key, where
those that are there and whole are kept when the same is received again.
"""

import os
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

from seal_cli.store.artifact import WEIGHTS, Artifact, Files
from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import MANIFEST, REMOVED, Damaged, fresh_digest, fsync, write_removed
from seal_cli.store.journal import locked
from seal_cli.store.manifest import parse
from seal_cli.store.remote.threads import in_threads
from seal_cli.store.workspace import Workspace
from stages.errors import InputError

RECEIVED = "received"  # in the work folder of the key
Moved = Callable[[int], None]  # takes how many more bytes came; what it raises ends it
Fetch = Callable[[str, Path, Moved], None]  # a file's name in the artifact, where to write it


def receive(
    store: Workspace,
    artifact_id: str,
    manifest: bytes,
    fetch: Fetch,
    *,
    digest: str | None = None,
    absent: Collection[str] = (),
    threads: int = 1,
    wait: bool = False,
    moved: Moved = lambda _: None,
) -> Artifact:
    """The artifact in this store; what is there already stays as it is.

    `digest` is what those know it by that were made from it. `absent` are weights that are not to
    be had, or not wanted. `fetch` is called in this many threads.

    Raises:
        InputError: the manifest is another's or none, or a file is not what it says.
        BusyError: another process makes or receives it, and `wait` is false.

    """
    files = checked(artifact_id, manifest, digest)
    removed = {name: entry for name, entry in files.items() if name in absent}
    if any(not name.startswith(f"{WEIGHTS}/") for name in removed):
        raise InputError(f"{artifact_id} cannot be without a table.", "Only weights can be absent.")
    store.create()
    with locked(store.lock_path(artifact_id), wait=wait):
        target, work = store.path(artifact_id), store.work_path(artifact_id)
        if not os.path.lexists(target):
            folder = work / RECEIVED
            wanted = {name: entry for name, entry in files.items() if name not in removed}
            receive_files(artifact_id, folder, wanted, fetch, threads, moved)
            if removed:
                write_removed(folder, removed)
            (folder / MANIFEST).write_bytes(manifest)
            fsync(folder / MANIFEST)
            for directory in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
                fsync(directory)
            os.rename(folder, target)
            fsync(target.parent)
            shutil.rmtree(work)  # what was begun of it here is not needed any more
    return store.artifact(artifact_id)


def mend(
    store: Workspace,
    artifact: Artifact,
    names: Collection[str],
    fetch: Fetch,
    *,
    threads: int = 1,
    moved: Moved = lambda _: None,
) -> None:
    """Files of an artifact that is here: weights that it was without, or what is damaged.

    Raises:
        InputError: a file is not what the manifest says; none of them is put in place then.
    """
    absent = set(artifact.removed)
    store.create()
    with locked(store.lock_path(artifact.id), wait=True):  # of several that lack them one fetches
        folder = store.work_path(artifact.id) / RECEIVED
        lacking = (n for n in names if n not in absent or n in artifact.removed)
        files = {name: artifact.manifest["files"][name] for name in lacking}
        receive_files(artifact.id, folder, files, fetch, threads, moved)
        for name in files:
            target = artifact.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(folder / name, target)
            fsync(target.parent)
        removed = artifact.removed
        left = {name: entry for name, entry in removed.items() if name not in files}
        if left:
            write_removed(artifact.path, left)
        elif removed:
            (artifact.path / REMOVED).unlink()
        shutil.rmtree(store.work_path(artifact.id))


def checked(artifact_id: str, manifest: bytes, digest: str | None = None) -> Files:
    """The files that a manifest speaks of. Raises InputError for another's, or none."""
    try:
        found, known_by = parse(manifest)
        if found["artifact_id"] != artifact_id:
            raise Damaged(f"it is that of {found['artifact_id']}")
        if digest not in (None, known_by):
            raise Damaged("it is not the one that was asked for")
    except Damaged as error:
        raise InputError(
            f"the manifest of {artifact_id} cannot be used: {error}.",
            "Nothing was published; send it again from a store where `seal verify` is content.",
        ) from error
    files: Files = found["files"]
    return files


def receive_files(
    whose: str, folder: Path, files: Files, fetch: Fetch, threads: int, moved: Moved
) -> None:
    """Files into a folder of their own, proven and on disk; nothing else is left in it.

    Raises:
        InputError: one of them is not what `files` says.

    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in list(folder.rglob("*")):
        known = path.relative_to(folder).as_posix() in files
        if path.is_symlink() or (not known and not path.is_dir()):
            path.unlink()

    def one(name: str) -> None:
        try:
            _one(folder / name, files[name]["bytes"], files[name]["sha256"], name, fetch, moved)
        except Damaged as error:
            raise InputError(
                f"{name} of {whose} did not come as it was written: {error}.",
                "Nothing was published. Try again; if it stays so, `seal push --repair` from a "
                "store that has it whole.",
            ) from error

    in_threads(threads, one, files)


def _one(path: Path, size: int, sha256: str, name: str, fetch: Fetch, moved: Moved) -> None:
    """A file that is what it should be. Raises Damaged."""
    if os.path.lexists(path) and fresh_digest(path)[1] == sha256:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    came = 0

    def counted(more: int) -> None:
        nonlocal came
        came += more
        if came > size:  # a server that never ends must not fill the disk
            raise Damaged(f"more than its {size} bytes came")
        moved(more)

    fetch(name, path, counted)
    stamp, digest = fresh_digest(path)
    if stamp.size != size:
        raise Damaged(f"expected {size} bytes, found {stamp.size}")
    if digest != sha256:
        raise Damaged("its sha256 is not the manifest's")
    fsync(path)
    moved(size - came)
    failpoint("file-received")
