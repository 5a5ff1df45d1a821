"""Base models beside artifacts: `models/<id>/`, laid out as an artifact is.

      models/<id>/_manifest.json            the names, sizes and digests of its files; written last
      models/<id>/<its sha256, 16>/...      its files

Whoever loads one computes its id from its files again, so a wrong one is never taken for it.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seal_cli.store.files import MANIFEST, Damaged, fsync, sealed, unsealed
from seal_cli.store.journal import locked
from seal_cli.store.manifest import checked_files
from seal_cli.store.remote.place import Place, prefix
from seal_cli.store.remote.receive import RECEIVED, Moved, receive_files
from seal_cli.store.remote.threads import in_threads
from seal_cli.store.workspace import Workspace
from stages.errors import InputError

FOLDER = "models"


def send_model(
    place: Place, model: str, folder: Path, files: Mapping[str, Mapping[str, Any]], moved: Moved
) -> int:
    """Send what is not there of a model; how many files that were."""
    pointer = (sealed({"model": model, "files": files}, indent=1) + "\n").encode()
    there = f"{FOLDER}/{model}/{prefix(pointer)}"
    sizes = place.transport.sizes(there)
    wanted = [name for name, entry in files.items() if sizes.get(name) != entry["bytes"]]

    def one(name: str) -> None:
        place.transport.put((folder / name).resolve(), f"{there}/{name}", moved)

    in_threads(place.transport.threads, one, wanted)
    place.transport.create(f"{FOLDER}/{model}/{MANIFEST}", pointer)
    return len(wanted)


def fetch_model(place: Place, store: Workspace, model: str, moved: Moved) -> bool:
    """Fetch a model into `models/` of the store, if it is there and not here.

    Raises:
        InputError: its manifest, or a file of it, is not what was written.

    """
    target = store.models / model
    pointer = place.transport.read(f"{FOLDER}/{model}/{MANIFEST}")
    if pointer is None or os.path.lexists(target):
        return False
    try:
        found = unsealed(pointer)
        files = checked_files(found.get("files"))
        if found.get("model") != model:
            raise Damaged("it is another model's")
    except Damaged as error:
        raise InputError(
            f"the manifest of {model} there cannot be used: {error}.",
            f"Remove {place.url}/{FOLDER}/{model}, and push it again with --with-models.",
        ) from error
    there = f"{FOLDER}/{model}/{prefix(pointer)}"

    def fetch(name: str, path: Path, more: Moved) -> None:
        place.transport.get(f"{there}/{name}", path, more)

    store.create()
    with locked(store.locks / f"{model}.lock", wait=True):
        if not os.path.lexists(target):
            work = store.work / model
            receive_files(model, work / RECEIVED, files, fetch, place.transport.threads, moved)
            target.parent.mkdir(exist_ok=True)
            os.rename(work / RECEIVED, target)
            fsync(target.parent)
            shutil.rmtree(work)
    return True
