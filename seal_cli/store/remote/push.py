"""Sending: what is not there yet, then the pointer.

What is there is known by its name and size under the digest of its manifest, so a push that was
killed goes on without a record of its own. Nothing leaves that was not proven first.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime

from seal_cli.store.artifact import WEIGHTS, Artifact, Files
from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import MANIFEST, REMOVED, read_json, sealed
from seal_cli.store.remote.place import FOLDER, Place, There
from seal_cli.store.remote.threads import in_threads
from seal_cli.store.remote.transport import Moved
from stages.errors import InputError


@dataclass(frozen=True)
class Sending:
    """An artifact and what of it has to be sent; of an `other` run's that is there, nothing."""

    artifact: Artifact
    files: tuple[str, ...]
    absent: Files  # weights that are not sent
    pointer: bool  # it has to be written: there is none, or a damaged one
    other: bool = False

    @property
    def bytes(self) -> int:
        """How much that is."""
        return sum(int(self.artifact.manifest["files"][name]["bytes"]) for name in self.files)

    @property
    def nothing(self) -> bool:
        """Whether all is there."""
        return not (self.files or self.pointer)


def look(
    place: Place,
    artifact: Artifact,
    *,
    weights: bool = True,
    repair: bool = False,
    moved: Moved = lambda _: None,
) -> Sending:
    """What of an artifact has to be sent. `repair` reads again what is there.

    Raises:
        InputError: it is not whole here, or its pointer there is damaged and `repair` is false.

    """
    own = There(place.transport, artifact.id, read_json(artifact.path / MANIFEST))
    pointer = place.pointer(artifact.id)
    if pointer not in (None, own.pointer):
        try:
            There(place.transport, artifact.id, pointer or b"")
            return Sending(artifact, (), {}, False, other=True)
        except InputError:
            if not repair:
                raise
    sizes = own.sizes()
    gone = artifact.removed
    absent = {
        name: entry
        for name, entry in own.files.items()
        if (name in gone and not os.path.lexists(artifact.path / name))
        or (not weights and name.startswith(f"{WEIGHTS}/"))
    }
    wanted = {name: entry for name, entry in own.files.items() if name not in absent}
    there = [name for name, entry in wanted.items() if sizes.get(name) == entry["bytes"]]
    if repair:
        wrong = in_threads(place.transport.threads, lambda name: own.wrong(name, moved), there)
        there = [name for name, why in zip(there, wrong, strict=True) if why is None]
    files = tuple(name for name in wanted if name not in set(there))
    missing = {name: entry for name, entry in absent.items() if name not in sizes}
    return Sending(artifact, files, missing, pointer != own.pointer)


def send(place: Place, sending: Sending, moved: Moved) -> bool:
    """Send it; false where another run of the same key was first meanwhile.

    Raises:
        InputError: a file is not what it was.

    """
    artifact, transport = sending.artifact, place.transport
    own = There(transport, artifact.id, read_json(artifact.path / MANIFEST))

    def one(name: str) -> None:
        transport.put(artifact.proven(name), f"{own.folder}/{name}", moved)
        failpoint("file-sent")

    in_threads(transport.threads, one, sending.files)
    if sending.pointer:
        if sending.absent:
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            removed = sealed({"removed_at": moment, "files": sending.absent}, indent=1) + "\n"
            transport.replace(f"{own.folder}/{REMOVED}", removed.encode())
        transport.replace(f"{own.folder}/{MANIFEST}", own.pointer)
        pointer = f"{FOLDER}/{artifact.id}/{MANIFEST}"
        if not transport.create(pointer, own.pointer):
            found = transport.read(pointer) or b""
            try:
                There(transport, artifact.id, found)
                return found == own.pointer
            except InputError:  # it was damaged, and is repaired
                transport.replace(pointer, own.pointer)
    return True
