"""Everything read again and compared with what was written: no cache is asked.

Of an artifact: its manifest, every file, its key, the digests of its inputs, the counts of its
rows. Of the store besides: names, and the answers of servers.
"""

import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seal_cli.store import ledger
from seal_cli.store.artifact import Artifact
from seal_cli.store.files import Damaged, fresh_digest, open_regular
from seal_cli.store.identity import artifact_id
from seal_cli.store.manifest import is_input
from seal_cli.store.schema import statuses
from seal_cli.store.workspace import Workspace
from stages.errors import InputError

_SHARD = re.compile(r"-s\d+of\d+$")
_ROWS = 1 << 16  # of a table in memory at once


@dataclass(frozen=True)
class Finding:
    """Something that is not what it was: of which artifact (or file of the store), and a remedy."""

    artifact: str
    file: str | None
    reason: str
    heal: str


@dataclass
class Verifier:
    """Verifies and counts what it read."""

    store: Workspace
    artifacts: int = 0
    files: int = 0
    bytes: int = 0

    def closure(self, ids: list[str]) -> Iterator[Finding]:
        """These artifacts and everything they were made from, as far as it is here."""
        waiting, seen = list(ids), set(ids)
        while waiting:
            current = waiting.pop(0)
            yield from self.artifact(current)
            try:
                inputs = self.store.artifact(current).inputs
            except InputError:
                continue
            here = [i for i in inputs if i not in seen and os.path.lexists(self.store.path(i))]
            waiting += here
            seen |= {*here}

    def everything(self) -> Iterator[Finding]:
        """The whole store."""
        ids = self.store.ids()
        for found in ids:
            yield from self.artifact(found)
        if self.store.artifacts.is_dir():
            for path in sorted(self.store.artifacts.iterdir()):
                if path.name not in ids:
                    heal = f"See what it is, and move {path} away."
                    yield Finding(path.name, None, "it is no artifact", heal)
        for name in self.store.names.all():
            try:
                self.store.artifact(self.store.names.get(name) or "")
            except InputError as error:
                reason = error.message.removesuffix(".")
                yield Finding(f"names/{name}.json", None, reason, error.hint)
        for path in sorted(self.store.requests.glob("*.jsonl")):
            yield from self._answers(path)

    def artifact(self, name: str) -> Iterator[Finding]:
        """One artifact alone; its inputs are looked at for their digests."""
        self.artifacts += 1
        try:
            artifact = Artifact(self.store.path(name))
            removed = artifact.removed
        except InputError as error:
            reason = error.message.removeprefix(f"{name} is not whole: ").removesuffix(".")
            yield Finding(name, None, reason, self._hint(name))
            return
        heal = self._hint(name, artifact)
        whole = set()
        for file, expected in artifact.manifest["files"].items():
            if file in removed and not os.path.lexists(artifact.path / file):
                continue
            try:
                artifact.stamp(file)
                stamp, digest = fresh_digest(artifact.path / file)
                self.files, self.bytes = self.files + 1, self.bytes + stamp.size
                if digest != expected["sha256"]:
                    raise Damaged("its sha256 is not the manifest's")
                whole.add(file)
            except Damaged as error:
                yield Finding(name, file, str(error), heal)
        for file in artifact.strangers():
            yield Finding(name, file, "the manifest does not know it", f"Take it out of {name}.")
        yield from self._key(artifact, heal)
        yield from self._inputs(artifact)
        yield from _counts(artifact, whole, heal)

    def _key(self, artifact: Artifact, heal: str) -> Iterator[Finding]:
        """The id follows from the key and the number of the attempt."""
        manifest = artifact.manifest
        material = {name: value for name, value in manifest["key"].items() if name != "stage"}
        attempt = {"attempt": manifest["attempt"]} if manifest["attempt"] else {}
        if (
            manifest["base"] != artifact_id(artifact.stage, material)
            or _SHARD.sub("", artifact.id) != artifact_id(artifact.stage, material | attempt)
            or manifest["key"].get("stage") != artifact.stage
        ):
            yield Finding(artifact.id, None, "its key gives another id", heal)

    def _inputs(self, artifact: Artifact) -> Iterator[Finding]:
        """The inputs that are here are those it was made from."""
        for entry in artifact.manifest["inputs"]:
            name = entry["artifact_id"]
            if not os.path.lexists(self.store.path(name)):
                heal = "Copy that one's folder into artifacts/, or run its stage again."
                yield Finding(artifact.id, None, f"its input {name} is not here", heal)
                continue
            try:
                found = self.store.artifact(name)
            except InputError:  # said where it is verified itself
                continue
            if not is_input(entry, found.manifest, found.digest):
                reason = f"its input {name} is not the one it was made from"
                heal = "Copy that input here, or run the stage again with --force."
                yield Finding(artifact.id, None, reason, heal)

    def _answers(self, path: Path) -> Iterator[Finding]:
        """Lines of a ledger that no request will find: its answers are asked for again."""
        where = f"requests/{path.name}"
        try:
            opened, stamp = open_regular(path)
        except Damaged as error:
            yield Finding(where, None, str(error), f"Move {path} away.")
            return
        self.files, self.bytes = self.files + 1, self.bytes + stamp.size
        with os.fdopen(opened, "rb") as stream:
            n_damaged = sum(1 for _ in ledger.damaged(stream))
        if n_damaged:
            heal = f"`{self.seal} gc --answers --yes` takes them out: they are asked for again."
            yield Finding(where, None, f"{n_damaged} answers are damaged", heal)

    @property
    def seal(self) -> str:
        """The command that is about this store from where we are."""
        here = self.store.root == Path("seal-store").absolute()
        return "seal" if here else shlex.join(["seal", "--store", str(self.store.root)])

    def _hint(self, name: str, artifact: Artifact | None = None) -> str:
        away = f"take it away with `{self.seal} rm {name} --yes`"
        again = _again(artifact) if artifact else None
        if again:
            return f"Copy it again, or {away} and run `{self.seal} {shlex.join(again)}`."
        if artifact:
            away = f"see its settings with `{self.seal} show {name} --config`, {away}"
        return f"Copy it again, or {away} and run its stage again."


def _counts(artifact: Artifact, whole: set[str], heal: str) -> Iterator[Finding]:
    """The tables have as many rows of every status as the manifest says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for table, expected in artifact.manifest["tables"].items():
        names = artifact.parts(table)
        if not whole.issuperset(names):
            continue
        status: Counter[str] = Counter()
        try:
            for name in names:
                with pq.ParquetFile(artifact.path / name) as file:
                    told = {"status", "correct"}.intersection(file.schema_arrow.names)
                    for batch in file.iter_batches(_ROWS, columns=sorted(told)):
                        status.update(statuses(table, pa.Table.from_batches([batch])))
        except (OSError, pa.ArrowException) as error:
            yield Finding(artifact.id, names[0], f"no Parquet: {error}".splitlines()[0], heal)
            continue
        found = {"rows": status.total(), "status": dict(+status)}
        if not names or found != {name: expected[name] for name in found}:
            reason = f"{table} has {found['rows']} rows {found['status']}, not {expected}"
            yield Finding(artifact.id, None, reason, heal)


def _again(artifact: Artifact) -> list[str] | None:
    """The command line that made an artifact, with ids for `-` and `@latest:…`; None: not known."""
    given, argv = iter(artifact.manifest["argv"]), list[str]()
    for word in given:
        if word == "--store":
            next(given, None)
        elif not word.startswith("--store="):
            argv.append(word)
    unnamed = [one for one in artifact.inputs if not any(map(one.startswith, argv))]
    for place, word in enumerate(argv):
        fits = [one for one in unnamed if word == "-" or word == f"@latest:{one.split('-')[0]}"]
        if len(fits) == 1:
            argv[place] = fits[0]
            unnamed.remove(fits[0])
        elif word == "-" or word.startswith("@latest:") or "://" in word:  # which lacks its path
            return None
    return argv or None
