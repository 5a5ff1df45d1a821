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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seal_cli.store.files import (
    MANIFEST,
    REMOVED,
    Damaged,
    Digests,
    Stamp,
    read_sealed,
    stamp,
)
from seal_cli.store.parts import ROWS_AT_ONCE
from seal_cli.store.schema import TABLE_OF, from_table
from stages.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

WEIGHTS = "__weights"
R = TypeVar("R")
Bring = Callable[[str], None] | None
Files = Mapping[str, Mapping[str, Any]]  # name -> {"bytes": …, "sha256": …}


class Artifact:
    """A published artifact. Its manifest is read at once, its tables when asked for."""

    def __init__(self, path: Path, digests: Digests | None = None, bring: Bring = None) -> None:
        """`bring` fetches the weights of an id that are not here."""
        from seal_cli.store.manifest import read

        self.path, self._bring = path, bring
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
        for file, _ in self._files(table):
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    parts.append(parquet.read(columns))
            except (OSError, pa.ArrowException) as error:
                raise self._damaged(str(file.relative_to(self.path)), str(error)) from error
        return pa.concat_tables(parts)

    def _files(self, table: str) -> list[tuple[Path, Stamp]]:
        """The same as `files`, where there has to be one. Raises InputError."""
        found = self.files(table)
        if not found:
            raise InputError(
                f"{self.id} has no table {table}.", f"It has: {', '.join(self.tables)}."
            )
        return found

    def pieces(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: tuple[str, Collection[Any]] | None = None,
    ) -> Iterator["pa.Table"]:
        """One table as Arrow, some rows at a time; of a column, those `where` it has these values.

        Raises:
            InputError: a file is missing or damaged, or there is no such table.

        """
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        for file, _ in self._files(table):
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=columns):
                        if where is not None:
                            column = batch.column(where[0])
                            values = pa.array(where[1], column.type)
                            batch = batch.filter(pc.is_in(column, value_set=values))
                        yield pa.Table.from_batches([batch])
            except (OSError, pa.ArrowException) as error:
                raise self._damaged(str(file.relative_to(self.path)), str(error)) from error

    def stream(
        self, record: type[R], where: tuple[str, Collection[Any]] | None = None
    ) -> Iterator[R]:
        """One table as records, in the order in which it was written; `where` as in `pieces`."""
        for piece in self.pieces(TABLE_OF[record], where=where):  # type: ignore[index]
            yield from from_table(record, piece)

    def rows(self, record: type[R], where: tuple[str, Collection[Any]] | None = None) -> list[R]:
        """The same at once."""
        return list(self.stream(record, where))

    def weights(self, relative: str) -> Path:
        """A folder of weights that a row of this artifact names, every file in it proven.

        Raises:
            InputError: it leads outside, is not there, was removed, or is not what it was.

        """
        prefix = f"{Path(relative).as_posix()}/"
        named = [name for name in self.manifest["files"] if name.startswith(prefix)]
        if not named or not relative.startswith(WEIGHTS):
            raise InputError(f"{self.id} has no {relative}.", "See `seal show`.")
        if self._bring and self._without(named):
            self._bring(self.id)
        if self._without(named):
            raise InputError(
                f"{relative} was removed from {self.id}.",
                f"`seal pull {self.id} URL` fetches it from where it was pushed; `seal "
                f"{self.stage} {' '.join(self.inputs[:1])} --force` and its settings (`seal show "
                f"{self.id} --config`) make it again, as a new attempt.",
            )
        for name in named:
            self._prove(name)
        for name in self.strangers(relative):  # a library opens by name whatever lies there
            raise self._damaged(name, "the manifest does not know it")
        return self.path / relative

    def _without(self, names: Sequence[str]) -> bool:
        """Whether one of these was removed."""
        removed = self.removed
        return any(name in removed and not (self.path / name).exists() for name in names)

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

    def proven(self, name: str) -> Path:
        """A file of the manifest, read if it was not yet. Raises InputError for a damaged one."""
        self._prove(name)
        return self.path / name

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


def folder_of(table: str, kind: str) -> str:
    """Where a table's files lie in an artifact of a kind."""
    return "." if table == kind else f"__{table}"
