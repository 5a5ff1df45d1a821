"""One published artifact: a folder of plain Parquet with a manifest that was written last.

      part-00000.parquet …         the main table; `pyarrow`, `datasets` and DuckDB read the folder
      __<table>/part-….parquet     further tables (both libraries skip names that begin with `__`)
      __weights/…                  adapters or a model
      _manifest.json               what it is, what it was made from, and the digest of every file
      _removed.json                weights that were removed since; its tables stay valid

Reading and publishing only; who makes the rows is the runner's business. Whatever is read was
compared with the manifest's digest of it before.
"""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seal_cli.store.failpoints import failpoint
from seal_cli.store.files import (
    MANIFEST,
    REMOVED,
    Damaged,
    Digests,
    Stamp,
    fresh_digest,
    fsync,
    read_sealed,
    sealed,
    stamp,
)
from seal_cli.store.schema import TABLE_OF, from_table, to_table
from stages.errors import InputError
from stages.records import Record

if TYPE_CHECKING:
    import pyarrow as pa

WEIGHTS = "__weights"
ROWS_PER_PART = 100_000
R = TypeVar("R")
Files = Mapping[str, Mapping[str, Any]]  # name -> {"bytes": …, "sha256": …}


class Artifact:
    """A published artifact. Its manifest is read at once, its tables when asked for."""

    def __init__(self, path: Path, digests: Digests | None = None) -> None:
        from seal_cli.store.manifest import read

        self.path = path
        self._digests = digests or Digests(None)
        try:
            if path.is_symlink():
                raise Damaged("the folder is a link")
            found = read(path / MANIFEST)
        except Damaged as error:
            raise _bad(path.name, f"its manifest is missing or broken: {error}") from error
        self.manifest: dict[str, Any] = found[0]
        self.digest = found[1]  # by which what was made from it knows it, if that is of before
        self.id: str = self.manifest["artifact_id"]
        self.kind: str = self.manifest["kind"]
        self.stage: str = self.manifest["stage"]
        self.inputs: list[str] = [entry["artifact_id"] for entry in self.manifest["inputs"]]
        if self.id != path.name:
            raise InputError(
                f"the folder {path.name} holds {self.id}.", "Name an artifact's folder by its id."
            )

    @cached_property
    def moment(self) -> datetime:
        """When it was published."""
        return datetime.fromisoformat(self.manifest["created_at"])

    @property
    def content(self) -> str:
        """The digest by which what is made from it knows it."""
        from seal_cli.store.manifest import content_of

        return content_of(self.manifest)

    @property
    def aside(self) -> list[str]:
        """The inputs that its rows are not about: a probe, what was replayed."""
        return [e["artifact_id"] for e in self.manifest["inputs"] if e.get("aside")]

    def about(self, what: str) -> str:
        """The domain, the writer or the student of its rows. Raises InputError without it."""
        found = self.manifest["about"].get(what)
        if found is None:
            raise InputError(
                f"the manifest of {self.id} does not say its {what}.", "See `seal ls`."
            )
        return str(found)

    @property
    def n_failed(self) -> int:
        """Rows with status `failed`, over all tables."""
        return sum(table["status"].get("failed", 0) for table in self.manifest["tables"].values())

    @property
    def tables(self) -> list[str]:
        """The tables it holds, the main one first."""
        return list(self.manifest["tables"])

    def check(self) -> None:
        """Raise InputError unless it is whole: every file there, of its size, or removed."""
        removed = self.removed
        for name in self.manifest["files"]:
            if name not in removed:
                try:
                    self.stamp(name)
                except Damaged as error:
                    raise self._damaged(name, str(error)) from error

    def prove(self) -> None:
        """Raise InputError unless every file that was not removed is what the manifest says."""
        removed = self.removed
        for name in self.manifest["files"]:
            if name not in removed:
                self._prove(name)

    def prove_tables(self, tables: Collection[str] | None = None) -> None:
        """Raise InputError unless all files of its tables, or of these, are what was written."""
        for table in self.tables:
            if tables is None or table in tables:
                self.files(table)

    @property
    def removed(self) -> Files:
        """Weights that were removed on purpose. Raises InputError where that cannot be read."""
        from seal_cli.store.manifest import checked_files

        file = self.path / REMOVED
        if not os.path.lexists(file):
            return {}
        try:
            found = checked_files(read_sealed(file).get("files"))
            for name, entry in found.items():
                known = self.manifest["files"].get(name)
                if entry != known or not name.startswith(f"{WEIGHTS}/"):
                    raise Damaged(f"{name} is none of its weights")
            return found
        except Damaged as error:
            raise self._damaged(REMOVED, str(error)) from error

    def files(self, table: str) -> list[tuple[Path, Stamp]]:
        """The Parquet files of one table as they are now, none if it has no such table.

        Raises:
            InputError: one of them is not what the manifest says.

        """
        return [(self.path / name, self._prove(name)) for name in self.parts(table)]

    def parts(self, table: str) -> list[str]:
        """The names of one table's Parquet files."""
        begin = "part-" if table == self.kind else f"__{table}/part-"
        names = self.manifest["files"]
        return [name for name in names if name.startswith(begin) and name.endswith(".parquet")]

    def arrow(self, table: str, columns: Sequence[str] | None = None) -> "pa.Table":
        """One table as Arrow, or some columns of it.

        Raises:
            InputError: a file is missing or damaged, or there is no such table.

        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = []
        for file, _ in self.files(table):
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    parts.append(parquet.read(columns))
            except (OSError, pa.ArrowException) as error:
                raise self._damaged(str(file.relative_to(self.path)), str(error)) from error
        if not parts:
            raise InputError(
                f"{self.id} has no table {table}.", f"It has: {', '.join(self.tables)}."
            )
        return pa.concat_tables(parts)

    def rows(self, record: type[R]) -> list[R]:
        """One table as records, in the order in which it was written."""
        return from_table(record, self.arrow(TABLE_OF[record]))  # type: ignore[index]

    def weights(self, relative: str) -> Path:
        """A folder of weights that a row of this artifact names, every file in it proven.

        Raises:
            InputError: it leads outside, is not there, was removed, or is not what it was.

        """
        prefix = f"{Path(relative).as_posix()}/"
        named = [name for name in self.manifest["files"] if name.startswith(prefix)]
        if not named or not relative.startswith(WEIGHTS):
            raise InputError(f"{self.id} has no {relative}.", "See `seal show`.")
        removed = self.removed
        if any(name in removed and not (self.path / name).exists() for name in named):
            raise InputError(
                f"{relative} was removed from {self.id}.",
                f"`seal {self.stage} {' '.join(self.inputs[:1])} --force` and its settings (`seal "
                f"show {self.id} --config`) make it again, as a new attempt.",
            )
        for name in named:
            self._prove(name)
        for name in self.strangers(relative):  # a library opens by name whatever lies there
            raise self._damaged(name, "the manifest does not know it")
        return self.path / relative

    def strangers(self, relative: str = ".") -> Iterator[str]:
        """What lies below a folder of the artifact and is not in its manifest."""
        known = {*self.manifest["files"], MANIFEST, REMOVED}
        for found in sorted((self.path / relative).rglob("*")):
            name = found.relative_to(self.path).as_posix()
            if name not in known and (found.is_symlink() or not found.is_dir()):
                yield name

    def stamp(self, name: str) -> Stamp:
        """A file of the manifest without reading it. Raises Damaged unless it is of its size."""
        for folder in Path(name).parents[:-1]:
            if (self.path / folder).is_symlink():
                raise Damaged(f"{folder} is a link")
        found = stamp(self.path / name)
        expected = self.manifest["files"][name]["bytes"]
        if found.size != expected:
            raise Damaged(f"expected {expected} bytes, found {found.size}")
        return found

    def _prove(self, name: str) -> Stamp:
        """A file whose content is what the manifest says. Raises InputError."""
        try:
            self.stamp(name)
            found, digest = self._digests.of(self.path / name)
            if digest != self.manifest["files"][name]["sha256"]:
                raise Damaged("its sha256 is not the manifest's")
        except Damaged as error:
            raise self._damaged(name, str(error)) from error
        return found

    def _damaged(self, name: str, why: str) -> InputError:
        return _bad(self.id, f"{name} is missing or damaged: {why.strip().splitlines()[0]}")


def _bad(name: str, why: str) -> InputError:
    return InputError(
        f"{name} is not whole: {why}.",
        f"Copy it again, or take it away with `seal rm {name} --yes` and run its stage.",
    )


def write_parts(
    folder: Path, tables: Mapping[str, Sequence[Record]], kind: str, artifact_id: str
) -> None:
    """Write every table's Parquet files into an artifact folder that is not published yet."""
    for table, rows in tables.items():
        target = folder if table == kind else folder / f"__{table}"
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("part-*.parquet"):  # of a commit that was interrupted
            old.unlink()
        starts = range(0, max(len(rows), 1), ROWS_PER_PART)
        for part, start in enumerate(starts):
            arrow = to_table(table, rows[start : start + ROWS_PER_PART], artifact_id)
            write_parquet(arrow, target / f"part-{part:05}.parquet")


def write_parquet(table: "pa.Table", path: Path) -> None:
    """One Parquet file, on disk when this returns."""
    import pyarrow.parquet as pq

    pq.write_table(table, path, compression="zstd", write_page_checksum=True)
    fsync(path)


def publish(
    folder: Path, target: Path, manifest: dict[str, Any], known: Files | None = None
) -> None:
    """Write the manifest and make the folder an artifact, by one rename.

    Files that are `known` are on disk and were hashed. Whoever renames first wins; the loser's
    folder is left for it to delete.

    Raises:
        FileExistsError: the artifact is there already.
        InputError: a file has a name that no manifest may have.

    """
    from seal_cli.store.manifest import checked_files

    manifest["files"] = _inventory(folder, known or {})
    try:
        checked_files(manifest["files"])
    except Damaged as error:
        raise InputError(
            f"{target.name} cannot be published: {error}.",
            "Give that file a name of letters, digits and . _ + = -, and run again.",
        ) from error
    (folder / MANIFEST).write_text(sealed(manifest, indent=1) + "\n", encoding="ascii")
    fsync(folder / MANIFEST)
    for directory in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        fsync(directory)
    failpoint("manifest-written")
    try:
        os.rename(folder, target)
    except OSError as error:
        if target.is_dir():
            raise FileExistsError(target) from error
        raise
    failpoint("published")
    fsync(target.parent)


def _inventory(folder: Path, known: Files) -> dict[str, Any]:
    """Size and sha256 of every file but the manifest, which are on disk from here on."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    names = [path.relative_to(folder).as_posix() for path in found]
    return {name: known.get(name) or entry(folder / name) for name in names}


def entry(path: Path) -> dict[str, Any]:
    """Size and sha256 of a file, which is on disk when this returns. Raises Damaged."""
    fsync(path)
    found, digest = fresh_digest(path)
    return {"bytes": found.size, "sha256": digest}
