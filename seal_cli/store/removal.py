"""What may go from a store, and how it goes: to trash/ first, by a rename.

An artifact stays while a name, an unfinished run or another artifact needs it, unless it is proven
bad. Of a kept artifact only weights go; `_removed.json` says which.
"""

import logging
import os
import time
from collections.abc import Collection, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from seal_cli.store import ledger
from seal_cli.store.artifact import Artifact, Files
from seal_cli.store.files import Damaged, open_regular, read_sealed, remove, write_removed
from seal_cli.store.identity import ID
from seal_cli.store.journal import ATTEMPT, locked
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError
from stages.records import Adapter, Reward

LOG = logging.getLogger(__name__)
_YOUNG = 3600.0  # seconds; a temporary file this young may still be written


@dataclass(frozen=True)
class Going:
    """Something that would go: a place in the store, why, and the lock that has to be free.

    A `leftover` is deleted, all else goes to trash/.
    """

    path: Path
    why: str
    lock: Path | None = None
    leftover: bool = False

    @property
    def bytes(self) -> int:
        """How much of the disk it takes; what is gone meanwhile takes none."""
        inside = self.path.rglob("*") if self.path.is_dir() else (self.path,)
        return sum(found.lstat().st_size for found in inside if os.path.lexists(found))

    def go(self, store: Workspace) -> None:
        """Move it to trash/, or delete it. Raises BusyError if it is in use."""
        with locked(self.lock, wait=False) if self.lock else nullcontext():
            if self.leftover:
                remove(self.path)
            else:
                os.rename(self.path, _trash(store, self.path.name))


def leftovers(store: Workspace) -> Iterator[Going]:
    """What nothing needs any more: trash, finished work, merged shards, temporary files."""
    for path in _inside(store.trash):
        yield Going(path, "trash", leftover=True)
    for path in _inside(store.work):
        if ID.fullmatch(path.name) and store.path(path.name).exists():
            yield Going(path, "its artifact is published", store.lock_path(path.name), True)
    for path in _inside(store.shards):
        if ID.fullmatch(path.name) and store.path(path.name.rsplit("-s", 1)[0]).exists():
            yield Going(path, "its unsharded artifact is published", leftover=True)
    old = time.time() - _YOUNG
    artifacts = [store.path(one) for one in store.ids()]
    for folder in (store.root, store.work, store.names.folder, *_inside(store.work), *artifacts):
        for path in _inside(folder):
            if path.name.endswith((".tmp", ".tmp.wal")) and path.lstat().st_mtime < old:
                yield Going(path, "a temporary file", store.locks / "index.lock", True)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


@dataclass(frozen=True)
class Needs:
    """What needs which artifact: others that were made from it, or something that cannot go."""

    made: dict[str, list[str]]
    other: dict[str, list[str]]

    def of(self, artifact_id: str, going: Collection[str] = ()) -> list[str]:
        """All that needs an artifact, apart from artifacts that are `going` too."""
        children = (child for child in self.made.get(artifact_id, ()) if child not in going)
        made = [f"{child} was made from it" for child in children]
        return made + self.other.get(artifact_id, [])


def needs(store: Workspace) -> Needs:
    """Who needs what. Raises InputError for a damaged name: what it kept is not known."""
    made: dict[str, list[str]] = {}
    other: dict[str, list[str]] = {}
    for artifact in store.all():
        for needed in artifact.inputs:
            made.setdefault(needed, []).append(artifact.id)
    for path in _inside(store.work):
        with suppress(Damaged):  # such a run cannot go on
            attempt = read_sealed(path / ATTEMPT)
            if not os.path.lexists(store.artifacts / path.name):
                for used in {*attempt.get("inputs", ()), attempt.get("before")}:
                    other.setdefault(used, []).append(f"the unfinished {path.name} needs it")
    for path in _inside(store.shards):
        with suppress(InputError):  # it will not be taken over
            for used in store.artifact(path.name).inputs:
                other.setdefault(used, []).append(f"the shard {path.name} needs it")
    for name in store.names.all():
        other.setdefault(store.names.get(name) or "", []).append(f"it is called {name}")
    return Needs(made, other)


def chosen(store: Workspace, ids: list[str]) -> Iterator[Going]:
    """Artifacts, or unfinished runs, that were asked to go.

    Raises:
        ConfigError: some of them are needed, and are not proven bad.

    """
    found, needed = needs(store), []
    for one in ids:
        if not os.path.lexists(store.path(one)):
            yield Going(store.work_path(one), "an unfinished run", store.lock_path(one))
            continue
        try:
            store.artifact(one).prove()
        except InputError:
            yield Going(store.path(one), "not whole", store.lock_path(one))
            continue
        if why := found.of(one, ids):
            needed.append(f"{one} stays: {', '.join(why)}.")
            continue
        yield Going(store.path(one), "asked for", store.lock_path(one))
    if needed:
        hint = "Remove that first, or with it; a name goes with `seal tag NAME --delete`."
        raise ConfigError(" ".join(needed), hint)


def older(store: Workspace, age: timedelta) -> Iterator[Going]:
    """Artifacts of this age that nothing needs, once those made from them are gone too."""
    found, limit, going = needs(store), datetime.now(UTC) - age, set[str]()
    for artifact in reversed(list(store.all())):  # what is made from another is younger
        if artifact.moment < limit and not found.of(artifact.id, going):
            going.add(artifact.id)
            why = f"made {artifact.moment:%Y-%m-%d}"
            yield Going(artifact.path, why, store.lock_path(artifact.id))


@dataclass(frozen=True)
class Worse:
    """Adapters of one artifact whose weights may go, and why."""

    artifact: Artifact
    folders: list[str]
    why: str

    @property
    def bytes(self) -> int:
        """How much of the disk they take."""
        return sum(int(entry["bytes"]) for entry in self.files.values())

    @property
    def files(self) -> Files:
        """Their files, as the manifest has them."""
        prefixes = tuple(f"{folder}/" for folder in self.folders)
        every = self.artifact.manifest["files"].items()
        return {name: entry for name, entry in every if name.startswith(prefixes)}

    @property
    def path(self) -> Path:
        """The artifact's place."""
        return self.artifact.path

    def go(self, store: Workspace) -> None:
        """Move them to trash/; the artifact says which are gone, its tables stay valid."""
        artifact = self.artifact
        with locked(store.lock_path(artifact.id), wait=False):
            write_removed(self.path, {**artifact.removed, **self.files})
            for i, folder in enumerate(self.folders):
                os.rename(self.path / folder, _trash(store, f"{artifact.id}-{i}"))


def all_but_top(store: Workspace, n: int, by: str) -> Iterator[Worse]:
    """Of every adapters artifact the weights of all but the `n` self-edits that earned most.

    What was not scored, what has a name and what an unfinished run needs stays whole, which is
    said where there are weights.
    """
    artifacts = list(store.all())
    kept = needs(store).other
    for adapters in (a for a in artifacts if a.kind == "adapters"):
        scores = [a for a in artifacts if a.kind == "rewards" and adapters.id in a.inputs]
        reasons = kept.get(adapters.id) or ([] if scores else ["it was not scored"])
        if reasons:
            rows = [r for r in adapters.rows(Adapter) if r.weights]
            n_here = sum((adapters.path / str(row.weights)).exists() for row in rows)
            if n_here:
                said = "%s keeps the weights of %d adapters: %s."
                LOG.info(said, adapters.id, n_here, ", ".join(reasons))
            continue
        earned = {row.self_edit_id: getattr(row, by) for row in scores[-1].rows(Reward)}
        ranked = sorted((e for e, v in earned.items() if v is not None), key=lambda e: -earned[e])
        worse = set(ranked[n:])  # whose reward is known
        rows = adapters.rows(Adapter)
        folders = [r.weights for r in rows if r.weights and r.self_edit_id in worse]
        here = [folder for folder in folders if (adapters.path / folder).exists()]
        if here:
            why = f"weights of {len(here)} adapters that are not among the best {n} by {by}"
            yield Worse(adapters, here, why)


@dataclass(frozen=True)
class Lines:
    """Damaged lines of a ledger, to be taken out: what they answered is asked again."""

    path: Path
    why: str
    bytes: int

    def go(self, store: Workspace) -> None:
        """Take them out."""
        ledger.blank(self.path)


def damaged_answers(store: Workspace) -> Iterator[Lines]:
    """What stands in ledgers and answers nothing. Raises InputError for what is no file."""
    for path in sorted(store.requests.glob("*.jsonl")):
        try:
            opened, _ = open_regular(path)
        except Damaged as error:
            raise InputError(f"{path} cannot be read: {error}.", "Move it away.") from error
        with os.fdopen(opened, "rb") as stream:
            lengths = [length for _, length in ledger.damaged(stream)]
        if lengths:
            yield Lines(path, f"{len(lengths)} damaged answers", sum(lengths))


Goes = Going | Worse | Lines


def _trash(store: Workspace, name: str) -> Path:
    return store.trash / f"{name}.{time.time_ns()}"
