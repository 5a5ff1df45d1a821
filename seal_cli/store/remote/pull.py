"""Fetching: what is not here yet, each artifact whole or not at all."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from seal_cli.store.artifact import WEIGHTS, Artifact
from seal_cli.store.files import MANIFEST, Damaged, fresh_digest, read_json
from seal_cli.store.remote.closure import closure
from seal_cli.store.remote.place import Place, There
from seal_cli.store.remote.receive import RECEIVED, Moved, mend, receive
from seal_cli.store.workspace import Workspace
from stages.errors import InputError


@dataclass(frozen=True)
class Fetching:
    """An artifact and what of it has to come; `here` is what there is of it."""

    there: There
    files: tuple[str, ...]
    absent: tuple[str, ...] = ()
    here: Artifact | None = None

    def left(self, store: Workspace) -> list[int]:
        """The bytes of each file, without those that came before the last attempt ended."""
        came = store.work_path(self.there.id) / RECEIVED
        sizes = {name: int(self.there.files[name]["bytes"]) for name in self.files}
        return [n for name, n in sizes.items() if not _of_size(came / name, n)]


def wanted(place: Place, store: Workspace, ids: Iterable[str]) -> list[str]:
    """These artifacts and what they were made from, inputs first, as far as it is not here."""

    def inputs(one: str) -> list[str]:
        if os.path.lexists(store.path(one)):
            return store.artifact(one).inputs
        return place.artifact(one).inputs

    return closure(inputs, ids)


def look(
    place: Place, store: Workspace, artifact_id: str, *, weights: bool = True, repair: bool = False
) -> Fetching | None:
    """What of an artifact has to come; null where nothing has. `repair` reads again what is here.

    Raises:
        InputError: it is needed, and not there; or it is damaged here, and another one there.

    """
    if not os.path.lexists(store.path(artifact_id)):
        there = place.artifact(artifact_id)
        gone = set(there.absent(there.sizes()))
        if not weights:
            gone |= {name for name in there.files if name.startswith(f"{WEIGHTS}/")}
        files = tuple(name for name in there.files if name not in gone)
        return Fetching(there, files, tuple(sorted(gone)))
    artifact = store.artifact(artifact_id)
    lacking = [name for name in artifact.manifest["files"] if _lacks(artifact, name, repair)]
    if not weights:
        lacking = [name for name in lacking if name not in artifact.removed]
    if not lacking:
        return None
    there = place.artifact(artifact_id)
    if there.pointer != read_json(artifact.path / MANIFEST):
        raise InputError(
            f"{artifact_id} is not whole here, and the one at {place.url} is another run's.",
            f"Take it away with `seal rm {artifact_id} --yes`, and pull it again.",
        )
    gone = set(there.absent(there.sizes()))
    return Fetching(there, tuple(n for n in lacking if n not in gone), here=artifact)


def fetch(store: Workspace, fetching: Fetching, threads: int, moved: Moved) -> Artifact:
    """Fetch it. Raises InputError where a file is not what it was: nothing is published then."""
    there, here = fetching.there, fetching.here
    if here is not None:
        mend(store, here, fetching.files, there.get, threads=threads, moved=moved)
        return here
    return receive(
        store,
        there.id,
        there.pointer,
        there.get,
        absent=fetching.absent,
        threads=threads,
        wait=True,  # several of one store may need it at once
        moved=moved,
    )


def _lacks(artifact: Artifact, name: str, repair: bool) -> bool:
    """Whether a file of an artifact is not here as it was."""
    path, entry = artifact.path / name, artifact.manifest["files"][name]
    if not repair:
        return not _of_size(path, entry["bytes"])
    try:
        return fresh_digest(path)[1] != str(entry["sha256"])
    except Damaged:
        return True


def _of_size(path: "os.PathLike[str]", size: int) -> bool:
    try:
        return os.lstat(path).st_size == size
    except OSError:
        return False
