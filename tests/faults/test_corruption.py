"""Bits flipped and files cut, in every kind of file of a store: refused, or the identical result.

Each case damages one file of a copy and uses it as commands do. What is refused is refused with
InputError (exit 3); what is a cache, a ledger or a journal is asked again or made again.
"""

import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small import Small

from seal_cli.store import files, index
from seal_cli.store.files import MANIFEST
from seal_cli.store.identity import model_digest
from seal_cli.store.journal import Journal
from seal_cli.store.ledger import Ledger
from seal_cli.store.schema import TABLES
from seal_cli.store.workspace import Workspace
from stages.engines import Completion
from stages.errors import InputError
from stages.records import Adapter

ASKED = [f"{i:016x}" for i in range(8)]
Use = Callable[[], Any]


@dataclass
class Target:
    """A file, and what is done with it; what it gives while whole. `parts`: a subset is right too.

    What is left out, asked again or made again is missing from a result; the rest is the same.
    """

    kind: str
    file: Path
    use: Use
    parts: bool = False

    @cached_property
    def expected(self) -> Any:
        return self.use()

    def damaged(self, content: bytes) -> str:
        """What happens with this content in place of the file's: never another result."""
        whole, expected = self.file.read_bytes(), self.expected
        self.file.write_bytes(content)
        try:
            found = self.use()
        except InputError:
            return "refused"
        finally:
            self.file.write_bytes(whole)
        if self.parts:
            assert found.items() <= expected.items()
            return "identical" if found == expected else "left out or again"
        assert found == expected
        return "identical"


@pytest.fixture
def targets(small: Small, random_model: Path, monkeypatch: pytest.MonkeyPatch) -> list[Target]:
    monkeypatch.setattr(files, "_RACY_SECONDS", -1.0)  # young files' digests are kept, too
    return list(_targets(small.root, random_model))


def _targets(root: Path, model: Path) -> Iterator[Target]:
    index.refresh(Workspace(root))
    model_digest(model, Workspace(root).digests)
    for artifact in Workspace(root).all():
        yield Target("manifest", artifact.path / MANIFEST, _manifest(root, artifact.id))
        for name in artifact.manifest["files"]:
            file, folder = artifact.path / name, Path(name).parent.as_posix()
            if folder.startswith("__weights"):
                yield Target("weights", file, _weights(root, artifact.id, folder))
            else:
                table = artifact.kind if folder == "." else folder.removeprefix("__")
                yield Target("table, by Arrow", file, _rows(root, artifact.id, table))
                yield Target("table, by SQL", file, _queried(root, table), parts=True)
    Workspace(root).names.set("best-1", artifact.id)
    yield Target("name", root / "names" / "best-1.json", lambda: Workspace(root).resolve("best-1"))
    for name in ("index.duckdb", "index.stamp"):
        yield Target(name, root / name, lambda: _opened(root))
    yield Target("digests", root / "digests.txt", lambda: _all(root, model))
    yield from _ledger(root)
    yield from _journal(root)


def _manifest(root: Path, artifact_id: str) -> Use:
    return lambda: Workspace(root).artifact(artifact_id).manifest


def _weights(root: Path, artifact_id: str, folder: str) -> Use:
    def use() -> dict[str, bytes]:
        place = Workspace(root).artifact(artifact_id).weights(folder)
        return {path.name: path.read_bytes() for path in place.iterdir()}

    return use


def _rows(root: Path, artifact_id: str, table: str) -> Use:
    return lambda: Workspace(root).artifact(artifact_id).rows(TABLES[table])


def _queried(root: Path, table: str) -> Use:
    """The rows by artifact: all of one, or none."""

    def use() -> dict[str, list[Any]]:
        query = f"select artifact_id, t from {table} t order by all"
        with index.sandbox(Workspace(root), seconds=60, query=query) as connection:
            found: dict[str, list[Any]] = {}
            for artifact, row in connection.execute(query).fetchall():
                found.setdefault(artifact, []).append(row)
            return found

    return use


def _opened(root: Path) -> list[Any]:
    """What another tool finds in the index after the next command."""
    index.refresh(Workspace(root))
    with duckdb.connect(str(root / "index.duckdb"), read_only=True) as connection:
        return [
            connection.execute(f"from {t} order by all").fetchall() for t in (*TABLES, "lineage")
        ]


def _all(root: Path, model: Path) -> list[Any]:
    store = Workspace(root)
    rows = [a.rows(TABLES[table]) for a in store.all() for table in a.tables]
    return [*rows, model_digest(model, store.digests)]


def _ledger(root: Path) -> Iterator[Target]:
    file = root / "requests" / "endpoint.jsonl"
    ledger = Ledger(file)
    for i, key in enumerate(ASKED):
        ledger[key] = Completion(f"answer {i} \N{SNOWMAN}", i, "stop")

    def use() -> dict[str, str]:
        answers = {key: Ledger(file).get(key) for key in ASKED}
        return {key: str(asdict(found)) for key, found in answers.items() if found is not None}

    yield Target("ledger", file, use, parts=True)


def _journal(root: Path) -> Iterator[Target]:
    artifact = next(a for a in Workspace(root).all() if a.kind == "adapters")
    folder = root / "work" / artifact.id
    journal = Journal(folder, artifact.id)
    journal.begin({"batch": 1, "slots": 1})
    for i, row in enumerate(artifact.rows(Adapter)):
        if row.weights:
            shutil.copytree(artifact.path / row.weights, journal.out / row.weights)
            names = [p.relative_to(journal.out) for p in (journal.out / row.weights).iterdir()]
            journal.append(f"{i:06}", [row], [name.as_posix() for name in names])

    def use() -> dict[str, Any]:
        copied = root / "copied"  # what is damaged is taken away
        shutil.copytree(folder, copied)
        copy = Journal(copied, artifact.id)
        try:
            cut = copy.begin({})
            done = copy.finished()
            found: dict[str, Any] = {"cut": str(cut)}
            for name in sorted(done):
                found[name] = str(list(copy.rows([name])))
            for name in copy.claimed(sorted(done)):
                found[name] = (copied / "out" / name).read_bytes()
            return found
        finally:
            shutil.rmtree(copied)

    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        yield Target("attempt" if file.name == "attempt.json" else "journal", file, use, parts=True)


def damage(content: bytes, rng: random.Random, *, cut: bool) -> bytes:
    if cut:
        return content[: rng.randrange(len(content))]
    changed = bytearray(content)
    place = rng.randrange(len(content) * 8)
    changed[place // 8] ^= 1 << place % 8
    return bytes(changed)


def show(counts: Counter[tuple[str, str]]) -> None:
    for (kind, outcome), n in sorted(counts.items()):
        print(f"{kind:16} {outcome:20} {n:6}")
    print(f"{'all':37} {counts.total():6}")


def test_a_seeded_sample(targets: list[Target]) -> None:
    """600 cases: as many of every kind, one in eleven is a cut."""
    rng, counts = random.Random(0), Counter[tuple[str, str]]()
    kinds = sorted({target.kind for target in targets})
    for i in range(600):
        kind = kinds[i % len(kinds)]
        target = rng.choice([target for target in targets if target.kind == kind])
        content = damage(target.file.read_bytes(), rng, cut=i % 11 == 0)
        counts[kind, target.damaged(content)] += 1
    show(counts)


@pytest.mark.soak
def test_every_file(targets: list[Target]) -> None:
    """200 flips and 20 cuts of each."""
    rng, counts = random.Random(1), Counter[tuple[str, str]]()
    for target in targets:
        for i in range(220):
            content = damage(target.file.read_bytes(), rng, cut=i % 11 == 0)
            counts[target.kind, target.damaged(content)] += 1
    show(counts)
