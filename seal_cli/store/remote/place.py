"""Artifacts at an address, which exist once their pointer does.

      artifacts/<id>/_manifest.json            the manifest, byte for byte; written last
      artifacts/<id>/<its sha256, 16>/...      its files, and it again

Two runs of one key have folders of their own, so whichever pointer is there, it points to a whole
artifact. A pointer comes after those of its inputs.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seal_cli.store.artifact import Artifact, Files
from seal_cli.store.files import MANIFEST, REMOVED, Damaged, fresh_digest, unsealed
from seal_cli.store.identity import ID
from seal_cli.store.manifest import checked_files, parse
from seal_cli.store.remote.threads import in_threads
from seal_cli.store.remote.transport import Moved, Transport
from stages.errors import InputError

FOLDER = "artifacts"


def prefix(manifest: bytes) -> str:
    """The name of the folder of the run that wrote this manifest."""
    return hashlib.sha256(manifest).hexdigest()[:16]


def prefix_of(artifact: Artifact) -> str:
    """The same of an artifact that is here."""
    return prefix((artifact.path / MANIFEST).read_bytes())


class There:
    """An artifact at an address. Raises InputError where its pointer is damaged."""

    def __init__(self, transport: Transport, artifact_id: str, pointer: bytes) -> None:
        self.transport, self.id, self.pointer = transport, artifact_id, pointer
        self.folder = f"{FOLDER}/{artifact_id}/{prefix(pointer)}"
        try:
            self.manifest, self.digest = parse(pointer)
            if self.manifest["artifact_id"] != artifact_id:
                raise Damaged(f"it is that of {self.manifest['artifact_id']}")
        except Damaged as error:
            raise InputError(
                f"the manifest of {artifact_id} there cannot be used: {error}.",
                "`seal push --repair` writes it again from a store that has it.",
            ) from error
        self.files: Files = self.manifest["files"]
        self.inputs = [entry["artifact_id"] for entry in self.manifest["inputs"]]

    def sizes(self) -> dict[str, int]:
        """Its files as they are there."""
        return self.transport.sizes(self.folder)

    def absent(self, sizes: Mapping[str, int]) -> Files:
        """Weights that are not there on purpose. Raises InputError where that cannot be read."""
        text = self.transport.read(f"{self.folder}/{REMOVED}") if REMOVED in sizes else None
        if text is None:
            return {}
        try:
            found = checked_files(unsealed(text).get("files"))
        except Damaged as error:
            raise InputError(
                f"{REMOVED} of {self.id} there cannot be used: {error}.",
                "`seal push --repair` writes it again.",
            ) from error
        return {name: entry for name, entry in found.items() if name not in sizes}

    def get(self, name: str, target: Path, moved: Moved) -> None:
        """Copy one of its files here."""
        self.transport.get(f"{self.folder}/{name}", target, moved)

    def wrong(self, name: str, moved: Moved) -> str | None:
        """What is wrong with a file there, which is read again."""
        expected = self.files[name]
        with tempfile.TemporaryDirectory(prefix="seal-") as folder:
            target = Path(folder) / "file"
            try:
                self.get(name, target, moved)
                stamp, digest = fresh_digest(target)
            except (InputError, Damaged) as error:
                return str(error).removesuffix(".")
        if stamp.size != expected["bytes"]:
            return f"expected {expected['bytes']} bytes, found {stamp.size}"
        return None if digest == expected["sha256"] else "its sha256 is not the manifest's"


class Place:
    """All artifacts at an address; `url` is how people write it."""

    def __init__(self, transport: Transport, url: str) -> None:
        self.transport, self.url = transport, url

    def pointer(self, artifact_id: str) -> bytes | None:
        """The text of a pointer, whatever it is."""
        if not ID.fullmatch(artifact_id):
            raise InputError(f"{artifact_id!r} is not an artifact id.", "Give a whole id.")
        return self.transport.read(f"{FOLDER}/{artifact_id}/{MANIFEST}")

    def find(self, artifact_id: str) -> There | None:
        """An artifact, if it is there. Raises InputError where its pointer is damaged."""
        text = self.pointer(artifact_id)
        return None if text is None else There(self.transport, artifact_id, text)

    def artifact(self, artifact_id: str) -> There:
        """The same. Raises InputError where it is not there."""
        found = self.find(artifact_id)
        if found is None:
            raise InputError(
                f"{artifact_id} is not at {self.url}.",
                f"`seal ls --remote {self.url}` lists what is; `seal push` sends it there from a "
                "store that has it.",
            )
        return found

    def url_of(self, artifact_id: str) -> str:
        """Where an artifact is."""
        return f"{self.url}/{FOLDER}/{artifact_id}"

    def ids(self) -> list[str]:
        """What is called like an artifact; some may have no pointer yet. Shards are none."""
        found = {name: ID.fullmatch(name) for name in self.transport.names(FOLDER)}
        return [name for name, match in found.items() if match and not match[1]]

    def shards(self, artifact_id: str) -> list[str]:
        """The shards of a run that are there."""
        found = {name: ID.fullmatch(name) for name in self.transport.names(FOLDER)}
        own = [n for n, m in found.items() if m and m[1] and n == f"{artifact_id}{m[1]}"]
        return [name for name in own if self.pointer(name) is not None]

    def all(self, stage: str | None = None) -> tuple[list[dict[str, Any]], list[InputError]]:
        """The manifests of what is there, oldest first; and what is wrong with the others."""
        ids = [one for one in self.ids() if stage in (None, one.partition("-")[0])]
        bad: list[InputError] = []

        def look(one: str) -> dict[str, Any] | None:
            try:
                found = self.find(one)
            except InputError as error:
                bad.append(error)
                return None
            return found.manifest if found else None

        found = [m for m in in_threads(self.transport.threads, look, ids) if m]
        return sorted(found, key=lambda m: (m["created_at"], m["artifact_id"])), bad
