"""Shards: every n-th item of a run, worked off by itself, and taken over by the run of them all.

A shard is published into `shards/` of the store, by the same journal and the same rename as an
artifact, without the rows that need all others. It may come from another store, so it is proven
before it is used: its files, its key, and that it is about its own items.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seal_cli import console
from seal_cli.execution.spec import item_of
from seal_cli.store.artifact import WEIGHTS, Artifact
from seal_cli.store.schema import TABLES
from seal_cli.store.workspace import Workspace
from stages.errors import ConfigError, InputError
from stages.records import Record

_MOST = 100_000


@dataclass(frozen=True, order=True)
class Shard:
    """Part `index` of `count`, from 1; its name is that of its batch in the run of them all."""

    count: int
    index: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """`2/3`. Raises ConfigError for anything else."""
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        shard = cls(int(found[2]), int(found[1])) if found else None
        if shard is None or not 1 <= shard.index <= shard.count <= _MOST:
            raise ConfigError(
                f"--shard {text} is not understood.", "Write I/N, from 1/N to N/N: --shard 1/3."
            )
        return shard

    @classmethod
    def named(cls, name: str) -> "Shard":
        """The shard of a name."""
        index, count = name.removeprefix("s").split("of")
        return cls(int(count), int(index))

    @property
    def name(self) -> str:
        """The end of its id."""
        return f"s{self.index}of{self.count}"

    def id(self, whole: str) -> str:
        """What it is called; `whole` is the id without shards."""
        return f"{whole}-{self.name}"

    def items(self, items: Sequence[str]) -> list[str]:
        """Its part of all items, in their order."""
        return list(items[self.index - 1 :: self.count])


@dataclass(frozen=True)
class Shards:
    """The shards of one run that lie in a store. `material` is the run's key, `items` are all."""

    store: Workspace
    whole: str
    material: Mapping[str, Any]
    items: Sequence[str]

    def found(self) -> list[Shard]:
        """Those that are whole and have no item in common: of the count that gives most first."""
        if self.store.beyond:
            self.store.beyond.bring_shards(self.whole)
        by_count: dict[int, list[Shard]] = {}
        for shard in self._here():
            try:
                self.proven(shard)
                by_count.setdefault(shard.count, []).append(shard)
            except InputError as error:
                console.say(f"{error.message} It is left out.")
        chosen: list[Shard] = []
        for shards in sorted(by_count.values(), key=lambda s: -len(self.covered(s))):
            for shard in shards:
                if not self.covered(chosen) & self.covered([shard]):
                    chosen.append(shard)
        return chosen

    def covered(self, shards: Sequence[Shard]) -> set[str]:
        """The items of these."""
        return {item for shard in shards for item in shard.items(self.items)}

    def proven(self, shard: Shard) -> Artifact:
        """A shard whose every file is what was written. Raises InputError."""
        found = self.store.artifact(shard.id(self.whole))
        found.check()
        found.prove()
        if found.manifest["key"] != {"stage": found.stage, **self.material}:
            raise InputError(
                f"{found.id} was made with another key.", f"Remove {found.path} and run it again."
            )
        return found

    def rows(self, shard: Shard) -> Iterator[Record]:
        """All rows of a shard. Raises InputError for one about an item that is not the shard's."""
        artifact, own = self.proven(shard), self.covered([shard])
        for row in (row for table in artifact.tables for row in artifact.rows(TABLES[table])):
            if item_of(row) not in own:
                raise InputError(
                    f"{artifact.id} has rows about {item_of(row)}, which is not in it.",
                    f"Remove {artifact.path} and run it again.",
                )
            yield row

    def link(self, shard: Shard, out: Path) -> list[str]:
        """The weights of a shard in another folder, without a copy; their names."""
        artifact = self.store.artifact(shard.id(self.whole))
        names = [name for name in artifact.manifest["files"] if name.startswith(f"{WEIGHTS}/")]
        for name in names:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).unlink(missing_ok=True)  # of a run that was ended here
            try:
                os.link(artifact.path / name, out / name)
            except OSError:  # a file system without hard links
                shutil.copyfile(artifact.path / name, out / name)
        return names

    def require(self, shards: Sequence[Shard], left: Sequence[str]) -> None:
        """Raise InputError where items are left that no shard has; it names what is missing."""
        if not left:
            return
        if not shards:
            raise InputError(
                f"there is no shard of {self.whole} in {self.store.shards}.",
                "Run its shards, or copy them there; without --merge-only it is computed here.",
            )
        count = shards[0].count
        every = (Shard(count, index) for index in range(1, count + 1))
        missing = [s.id(self.whole) for s in every if not self.covered([s]).isdisjoint(left)]
        raise InputError(
            f"{len(left)} of {len(self.items)} items are missing: {', '.join(missing)}.",
            "Run that, or copy it into shards/; without --merge-only it is computed here.",
        )

    def _here(self) -> Iterator[Shard]:
        """What is called like a shard of the run, by count and index."""
        names = self.store.shards.glob(f"{self.whole}-s*of*")
        ends = (re.fullmatch(r"s[1-9]\d*of[1-9]\d*", p.name[len(self.whole) + 1 :]) for p in names)
        shards = (Shard.named(end[0]) for end in ends if end)
        yield from sorted(shard for shard in shards if shard.index <= shard.count <= _MOST)
