"""One published artifact: a folder of plain Parquet with a manifest that was written last.

      part-00000.parquet …         the main table; `pyarrow`, `datasets` and DuckDB read the folder
      __<table>/part-….parquet     further tables (both libraries skip names that begin with `__`)
      __weights/…                  adapters or a model
      _manifest.json               what it is, what it was made from, and the digest of every file

Reading and publishing only; who makes the rows is the runner's business.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from seal_cli.store.failpoints import failpoint
from seal_cli.store.schema import TABLE_OF, from_table, to_table
from stages.errors import InputError
from stages.records import Record

if TYPE_CHECKING:
    import pyarrow as pa

MANIFEST = "_manifest.json"
WEIGHTS = "__weights"
ROWS_PER_PART = 100_000
R = TypeVar("R")


class Artifact:
    """A published artifact. Its manifest is read at once, its tables when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.manifest: dict[str, Any] = json.loads(
                (path / MANIFEST).read_text(encoding="utf-8")
            )
            self.id: str = self.manifest["artifact_id"]
            self.kind: str = self.manifest["kind"]
            self.stage: str = self.manifest["stage"]
            self.inputs: list[str] = [entry["artifact_id"] for entry in self.manifest["inputs"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"the manifest of {path.name} is missing or broken ({error}).",
                "Copy it again; `seal verify` says what else is damaged.",
            ) from error
        if self.id != path.name:
            raise InputError(
                f"the folder {path.name} holds {self.id}.", "Name an artifact's folder by its id."
            )

    @cached_property
    def digest(self) -> str:
        """sha256 of the manifest, which holds the digests of everything else."""
        return hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest()

    @property
    def aside(self) -> list[str]:
        """The inputs that its rows are not about: a probe, what was replayed."""
        return [e["artifact_id"] for e in self.manifest["inputs"] if e.get("aside")]

    def about(self, what: str) -> str:
        """The domain, the writer or the student of its rows. Raises InputError without it."""
        found = self.manifest.get("about", {}).get(what)
        if not isinstance(found, str):
            raise InputError(
                f"the manifest of {self.id} does not say its {what}.",
                "An earlier version made it: run its stage again.",
            )
        return found

    @property
    def n_failed(self) -> int:
        """Rows with status `failed`, over all tables."""
        return sum(table["status"].get("failed", 0) for table in self.manifest["tables"].values())

    @property
    def tables(self) -> list[str]:
        """The tables it holds, the main one first."""
        return list(self.manifest["tables"])

    def files(self, table: str) -> list[Path]:
        """The Parquet files of one table, none if it has no such table."""
        prefix = "" if table == self.kind else f"__{table}/"
        return [
            self.path / name
            for name in self.manifest["files"]
            if name.startswith(f"{prefix}part-") and name.endswith(".parquet")
        ]

    def arrow(self, table: str, columns: Sequence[str] | None = None) -> "pa.Table":
        """One table as Arrow, or some columns of it.

        Raises:
            InputError: a file is missing or damaged, or there is no such table.

        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        parts = []
        for file in self.files(table):
            self._check_size(file)
            try:
                with pq.ParquetFile(file, page_checksum_verification=True) as parquet:
                    parts.append(parquet.read(columns))
            except (OSError, pa.ArrowException) as error:
                raise self._damaged(file, str(error)) from error
        if not parts:
            raise InputError(
                f"{self.id} has no table {table}.", f"It has: {', '.join(self.tables)}."
            )
        return pa.concat_tables(parts)

    def rows(self, record: type[R]) -> list[R]:
        """One table as records, in the order in which it was written."""
        return from_table(record, self.arrow(TABLE_OF[record]))  # type: ignore[index]

    def weights(self, relative: str) -> Path:
        """A path that a row of this artifact names. Raises InputError when it leads outside."""
        path = (self.path / relative).resolve()
        if not path.is_relative_to(self.path.resolve()) or not path.exists():
            raise InputError(
                f"{self.id} has no {relative}.", "Copy the artifact with its __weights folder."
            )
        return path

    def _check_size(self, file: Path) -> None:
        expected = self.manifest["files"][str(file.relative_to(self.path))]["bytes"]
        if not file.is_file() or file.stat().st_size != expected:
            raise self._damaged(file, f"expected {expected} bytes")

    def _damaged(self, file: Path, why: str) -> InputError:
        first = why.strip().splitlines()[0]
        return InputError(
            f"{file.relative_to(self.path.parent)} is missing or damaged: {first}",
            "Copy it again; `seal verify` says what else is damaged.",
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


def publish(folder: Path, target: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest and make the folder an artifact, by one rename.

    Whoever renames first wins; the loser's folder is left for it to delete.

    Raises:
        FileExistsError: the artifact is there already.

    """
    manifest["files"] = _inventory(folder)
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
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


def _inventory(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of every file but the manifest, which are on disk from here on."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            fsync(path)
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            files[str(path.relative_to(folder))] = {"bytes": path.stat().st_size, "sha256": digest}
    return files


def fsync(path: Path) -> None:
    """Flush a file or a directory to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
