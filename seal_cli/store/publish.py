"""A finished folder becomes an artifact: the manifest last, then one rename."""

import os
from pathlib import Path
from typing import Any

from seal_cli.store.artifact import Files
from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import MANIFEST, Damaged, fresh_digest, fsync, sealed
from seal_cli.store.manifest import checked_files
from stages.errors import InputError


def publish(
    folder: Path, target: Path, manifest: dict[str, Any], known: Files | None = None
) -> None:
    """Write the manifest and make the folder an artifact, by one rename.

    Files that are `known` are on disk with their folders and were hashed. Whoever renames first
    wins; the loser's folder is left for it to delete.

    Raises:
        FileExistsError: the artifact is there already.
        InputError: a file has a name that no manifest may have.

    """
    known = known or {}
    manifest["files"] = _inventory(folder, known)
    try:
        checked_files(manifest["files"])
    except Damaged as error:
        raise InputError(
            f"{target.name} cannot be published: {error}.",
            "Give that file a name of letters, digits and . _ + = -, and run again.",
        ) from error
    (folder / MANIFEST).write_text(sealed(manifest, indent=1) + "\n", encoding="ascii")
    fsync(folder / MANIFEST)
    fresh = (folder / name for name in manifest["files"] if name not in known)
    for directory in {folder, *(path for file in fresh for path in file.parents)}:
        if directory.is_relative_to(folder):
            fsync(directory)
    failpoint("manifest-written")
    try:
        os.rename(folder, target)
    except OSError as error:
        if target.is_dir():
            raise FileExistsError(target) from error
        raise
    failpoint("published")
    fsync(target.parent)


def _inventory(folder: Path, known: Files) -> dict[str, Any]:
    """Size and sha256 of every file but the manifest, which are on disk from here on."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    names = [path.relative_to(folder).as_posix() for path in found]
    return {name: known.get(name) or entry(folder / name) for name in names}


def entry(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, which is on disk when this returns. Raises Damaged."""
    fsync(path)
    found, digest = fresh_digest(path)
    return {"bytes": found.size, "sha256": digest}
