"""Where everything lies. The only module that spells a path of the store.

seal-store/
  artifacts/<stage>-<key16>/   immutable, published by one rename
  work/<stage>-<key16>/        an unfinished run, private to whoever holds its lock
  shards/<id>-s<i>of<n>/       what `--shard` published: no artifact until it is merged
  requests/                    what servers answered, by what they were asked (ledger.py)
  names/                       what `seal tag` gave (names.py)
  locks/  trash/  index.duckdb  digests.txt
"""

import logging
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from seal_cli.store.artifact import Artifact
from seal_cli.store.files import MANIFEST, Damaged, Digests, Stamp, make_folder, stamp
from seal_cli.store.identity import ID
from seal_cli.store.names import Names
from stages import PIPELINE
from stages.errors import ConfigError, InputError

LOG = logging.getLogger(__name__)
STAGES = ("import", "quiz", *PIPELINE, "regrade")


class Beyond(Protocol):
    """A place where artifacts that are not here may be."""

    def bring(self, artifact_id: str, *, weights: bool = False) -> bool:
        """Bring an artifact with what it was made from; false where it is not there either."""

    def bring_weights(self, artifact_id: str) -> None:
        """Bring the weights that an artifact is without here, as far as they are there."""

    def bring_shards(self, artifact_id: str) -> None:
        """Bring the shards of a run."""


class Workspace:
    """The folders of one store. Reading needs no lock; `create` comes before the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.artifacts = self.root / "artifacts"
        self.work = self.root / "work"
        self.locks = self.root / "locks"
        self.trash = self.root / "trash"
        self.shards = self.root / "shards"
        self.requests = self.root / "requests"
        self.models = self.root / "models"  # that came with --with-models, by their ids
        self.names = Names(self.root / "names", STAGES)
        self.index = self.root / "index.duckdb"
        self.digests = Digests(self.root / "digests.txt")
        self.beyond: Beyond | None = None
        self._read: dict[str, tuple[Stamp, Artifact]] = {}
        self._named: set[str] = set()  # bad artifacts that were complained of
        self.missed: set[str] = set()  # those whose tables a query was about

    def create(self) -> None:
        """Make the folders that are not there.

        Raises:
            InputError: something else is in the place of one.
            ConfigError: they are not on one disk, where publishing is a rename.

        """
        folders = (self.artifacts, self.work, self.shards, self.locks, self.trash)
        for folder in folders:
            make_folder(folder)
        if len({folder.stat().st_dev for folder in folders}) > 1:
            raise ConfigError(
                f"parts of {self.root} are on different disks.",
                "Put all of it on one, and link the store's own folder.",
            )

    def path(self, artifact_id: str) -> Path:
        """Where an artifact, or a shard, is or will be. Raises InputError for what is no id."""
        found = ID.fullmatch(_checked(artifact_id))
        return (self.shards if found and found[1] else self.artifacts) / artifact_id

    def work_path(self, artifact_id: str) -> Path:
        """The folder of an unfinished run."""
        return self.work / _checked(artifact_id)

    def lock_path(self, artifact_id: str) -> Path:
        """The lock file of a key."""
        return self.locks / f"{_checked(artifact_id)}.lock"

    def ids(self, stage: str | None = None) -> list[str]:
        """What is called like an artifact, of one stage if given, sorted; whole or not."""
        if not self.artifacts.is_dir():
            return []
        names = (path.name for path in self.artifacts.iterdir())
        found = (ID.fullmatch(name) for name in names)
        whole = (match[0] for match in found if match and not match[1])
        return sorted(name for name in whole if stage in (None, name.split("-")[0]))

    def has(self, artifact_id: str) -> bool:
        """Whether an artifact, or a shard, is here, or was brought."""
        here = os.path.lexists(self.path(artifact_id))
        return here or (self.beyond is not None and self.beyond.bring(artifact_id, weights=True))

    def artifact(self, artifact_id: str) -> Artifact:
        """A published artifact. Raises InputError when it is not there or not readable."""
        path = self.path(artifact_id)
        if not path.is_dir() and not (self.beyond and self.beyond.bring(artifact_id)):
            raise InputError(
                f"artifact {artifact_id} is not in {self.root}.",
                "Fetch it with `seal pull`, or run the stage that makes it.",
            )
        with suppress(Damaged):  # the artifact says it better
            found = stamp(path / MANIFEST)
            known = self._read.get(artifact_id)
            if known is None or known[0] != found:
                known = self._read[artifact_id] = found, self._open(path)
            return known[1]
        return self._open(path)

    def _open(self, path: Path) -> Artifact:
        bring = self.beyond.bring_weights if self.beyond else None
        return Artifact(path, self.digests, bring)

    def all(self, stage: str | None = None) -> Iterator[Artifact]:
        """Every readable artifact, oldest first; an unreadable one is named and passed over."""
        return self.some(self.ids(stage))

    def some(self, ids: Iterable[str]) -> Iterator[Artifact]:
        """Those of these that can be read, as `all` has them."""
        readable = []
        for artifact_id in ids:
            try:
                readable.append(self.artifact(artifact_id))
            except InputError as error:
                self.leave_out(artifact_id, error)
        yield from sorted(readable, key=lambda a: (a.moment, a.id))

    def leave_out(self, artifact_id: str, error: InputError) -> None:
        """Say once that an artifact is left out, and why."""
        if artifact_id not in self._named:
            self._named.add(artifact_id)
            LOG.warning("%s It is left out. %s", error.message, error.hint)

    def resolve(self, reference: str) -> str:
        """An id, a unique prefix of one, a name, or `@latest:<stage>` -> the id.

        Raises:
            InputError: nothing matches. ConfigError: several do, or the reference is malformed.

        """
        if reference.startswith("@"):
            return self._latest(reference)
        named = self.names.get(reference)
        if named is not None:
            return _checked(named)
        shard = ID.fullmatch(reference)
        if shard and shard[1] and self.path(reference).is_dir():
            return reference  # to push or remove it; no stage takes it
        if not re.fullmatch(r"[a-z]+(-[0-9a-z]*)?", reference):
            raise ConfigError(
                f"{reference!r} is not an artifact id.",
                "Give an id such as score-2f9c1a0d4b7e8c31, a prefix of it, a name that `seal tag` "
                "gave, @latest:score, or -.",
            )
        found = [name for name in self.ids() if name.startswith(reference)]
        if reference in found:
            return reference
        if not found and self.beyond and ID.fullmatch(reference):
            return reference
        if not found:
            raise InputError(f"no artifact {reference} in {self.root}.", "See `seal ls`.")
        if len(found) > 1:
            raise ConfigError(
                f"{reference} fits {len(found)} artifacts.", f"Say more: {', '.join(found[:4])}."
            )
        return found[0]

    def _latest(self, reference: str) -> str:
        name, _, stage = reference.partition(":")
        if name != "@latest" or not stage:
            raise ConfigError(
                f"{reference!r} is not understood.", "Use @latest:<stage>, e.g. @latest:score."
            )
        check_stage(stage)
        newest = list(self.all(stage))
        if not newest:
            raise InputError(f"no {stage} artifact in {self.root}.", f"Run `seal {stage}` first.")
        return newest[-1].id

    def upstream(self, artifact: Artifact, kind: str) -> Artifact:
        """The artifact itself or the nearest of its inputs that holds the table `kind`.

        Raises:
            InputError: there is none, or an artifact on the way is not in this store.

        """
        waiting, seen, absent = [artifact], {artifact.id}, []
        while waiting:
            current = waiting.pop(0)
            if kind in current.tables:
                return current
            for entry in current.manifest["inputs"]:
                # A policy is made from another round's artifacts, and what is aside (a probe, what
                # is replayed) is about other contexts: they are not this one's.
                if entry["artifact_id"] in seen or entry["kind"] == "policies" != kind:
                    continue
                if entry.get("aside"):
                    continue
                seen.add(entry["artifact_id"])
                one = entry["artifact_id"]
                if self.path(one).is_dir() or (self.beyond and self.beyond.bring(one)):
                    waiting.append(self.artifact(one))
                else:
                    absent.append(entry["artifact_id"])
        if absent:
            raise InputError(
                f"artifact {absent[0]} is not in {self.root}.", "Fetch it with `seal pull`."
            )
        raise InputError(
            f"{artifact.id} was not made from {kind}.",
            f"Its kind is {artifact.kind}; see `seal log {artifact.id}`.",
        )


def check_stage(stage: str) -> None:
    """Raise ConfigError for a stage that does not exist."""
    if stage not in STAGES:
        raise ConfigError(f"there is no stage {stage!r}.", f"Stages: {', '.join(STAGES)}.")


def _checked(artifact_id: str) -> str:
    """Nothing but an id ever becomes part of a path."""
    if not ID.fullmatch(artifact_id):
        raise InputError(f"{artifact_id!r} is not an artifact id.", "See `seal ls`.")
    return artifact_id


def store_at(root: Path) -> Workspace:
    """The store in a folder. Raises ConfigError for a path that cannot be one."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root} is a file, not a store.", "Name another with --store.")
    if any(letter in str(root.absolute()) for letter in "*?[\\"):  # to DuckDB, patterns
        raise ConfigError(f"{root} has one of * ? [ \\ in its path.", "Name another with --store.")
    return Workspace(root)
