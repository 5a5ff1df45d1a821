"""What nodes need of the driver's store: artifacts and local models by id, in chunks.

The depot is an actor beside the driver. A node keeps what it got in a store of its own, every file
proven: SEAL_NODE_STORE of its environment, else a folder of the user's cache. No file system is
shared. Inputs come first; what rows are not about, and how a policy came to be, stays away.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from seal_cli.execution.models import ModelRef
from seal_cli.execution.runtime import Runtime
from seal_cli.settings import DEFAULT_FILE
from seal_cli.store.artifact import Files
from seal_cli.store.files import MANIFEST, fresh_digest, read_json
from seal_cli.store.identity import model_digest, model_files
from seal_cli.store.journal import locked
from seal_cli.store.manifest import parse
from seal_cli.store.remote.closure import closure
from seal_cli.store.remote.receive import Moved, receive, receive_files
from seal_cli.store.workspace import Workspace
from stages.errors import InputError

CHUNK = 32 << 20  # bytes of a file that travel at once
PLACE = "SEAL_NODE_STORE"


class Depot:
    """Hands out what is in the driver's store, and models of the driver's machine."""

    def __init__(self, root: Path) -> None:
        self.store = Workspace(root)

    def manifest(self, artifact_id: str) -> tuple[bytes, list[str]]:
        """An artifact's manifest, byte for byte, and the names of weights that were removed."""
        artifact = self.store.artifact(artifact_id)
        return read_json(artifact.path / MANIFEST), list(artifact.removed)

    def chunk(self, artifact_id: str, name: str, offset: int) -> bytes:
        """A part of a file of an artifact."""
        artifact = self.store.artifact(artifact_id)
        artifact.stamp(name)  # raises for what is no file of it
        return _part(artifact.path / name, offset)

    def model(self, path: str) -> Files:
        """Size and sha256 of every file that is used of a model's folder."""
        found = {}
        for name, file in _used(path).items():
            stamp, sha256 = fresh_digest(file)
            found[name] = {"bytes": stamp.size, "sha256": sha256}
        return found

    def model_chunk(self, path: str, name: str, offset: int) -> bytes:
        """A part of a file of a model."""
        return _part(_used(path)[name], offset)


def _used(folder: str) -> dict[str, Path]:
    """What is opened in a model's folder, and the settings that an update takes along."""
    settings = Path(folder) / DEFAULT_FILE
    own = {DEFAULT_FILE.name: settings} if settings.is_file() else {}
    return {name: file.resolve() for name, file in (model_files(Path(folder)) | own).items()}


def _part(path: Path, offset: int) -> bytes:
    with path.open("rb") as stream:
        stream.seek(offset)
        return stream.read(CHUNK)


class Supply:
    """A node's store, and the depot that fills it."""

    def __init__(self, depot: Any) -> None:
        self.depot, self.store = depot, Workspace(node_store())
        self._whole: set[str] = set()  # that this process has looked at

    def bring(self, ids: Iterable[str]) -> None:
        """These artifacts, and what their rows are about, into the node's store."""
        told: dict[str, tuple[bytes, list[str], str]] = {}

        def inputs(artifact_id: str) -> list[str]:
            text, removed = _get(self.depot.manifest.remote(artifact_id))
            found, digest = parse(text)
            told[artifact_id] = text, removed, digest
            if found["kind"] == "policies":
                return []
            about = (e for e in found["inputs"] if not e.get("aside") or e["kind"] == "contexts")
            return [e["artifact_id"] for e in about if e["kind"] != "policies"]

        for one in closure(inputs, [i for i in ids if i not in self._whole]):
            self._receive(one, *told[one])
            self._whole.add(one)

    def _receive(self, artifact_id: str, manifest: bytes, removed: list[str], digest: str) -> None:
        here = self.store.path(artifact_id)
        if here.exists() and self.store.artifact(artifact_id).digest != digest:
            self.store.create()  # of another run of the same: the driver's counts
            os.rename(here, self.store.trash / f"{artifact_id}.{os.getpid()}")

        def fetch(name: str, path: Path, moved: Moved) -> None:
            self._write(path, moved, self.depot.chunk.remote, artifact_id, name)

        receive(self.store, artifact_id, manifest, fetch, absent=removed, wait=True)

    def _write(self, path: Path, moved: Moved, chunk: Any, *what: str) -> None:
        with path.open("wb") as stream:
            while True:
                part = _get(chunk(*what, stream.tell()))
                stream.write(part)
                moved(len(part))
                if len(part) < CHUNK:
                    return

    def model(self, model: ModelRef) -> Path:
        """The folder of a model that is no artifact: the hub's revision, else the driver's files.

        Raises:
            InputError: it is not what the driver has.

        """
        assert model.path is not None
        place = self.store.root / "models" / model.id
        self.store.create()
        with locked(self.store.lock_path(model.id), wait=True):
            if place.is_dir():
                return place
            if (snapshot := _of_hub(model)) is not None:
                return snapshot
            files = _get(self.depot.model.remote(model.path))

            def fetch(name: str, path: Path, moved: Moved) -> None:
                self._write(path, moved, self.depot.model_chunk.remote, str(model.path), name)

            folder = self.store.work_path(model.id)
            receive_files(model.id, folder, files, fetch, 1, lambda _: None)
            place.parent.mkdir(exist_ok=True)
            os.rename(folder, place)
        return place


class SuppliedRuntime(Runtime):
    """A runtime whose models come from the depot when they are first asked for."""

    def __init__(self, supply: Supply, device: str) -> None:
        super().__init__(supply.store, device)
        self.supply = supply

    def folder(self, model: ModelRef) -> Path:
        """Where a model lies on this node."""
        if model.artifact is None:
            return self.supply.model(model)
        self.supply.bring([model.artifact])
        return super().folder(model)


def _of_hub(model: ModelRef) -> Path | None:
    """The revision that the driver has of a hub model, or null where it is none, or not to be had.

    Raises InputError where the hub has other files under that revision.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    parts = Path(str(model.path)).parts
    if len(parts) < 3 or parts[-2] != "snapshots" or not parts[-3].startswith("models--"):
        return None
    name = parts[-3].removeprefix("models--").replace("--", "/", 1)
    try:
        found = Path(snapshot_download(name, revision=parts[-1]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return None  # a node without a network: the driver has it
    if (
        model.base is None
        and model.id != f"model-{model_digest(found, Workspace(found).digests)[:16]}"
    ):
        raise InputError(
            f"{name} at {parts[-1]} is not what the driver has.", "Download it there again."
        )
    return found


def node_store() -> Path:
    """The folder of this node's own store."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get(PLACE) or cache / "seal" / "node-store")


def _get(reference: Any) -> Any:
    import ray

    return ray.get(reference)
