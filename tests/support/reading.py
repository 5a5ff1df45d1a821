"""What is on disk, read with nothing of ours: pyarrow for the tables, bytes for the weights."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def tables_of(artifact: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table of an artifact folder as plain rows, without the columns that may differ."""
    folders = {"": artifact} | {p.name: p for p in artifact.glob("__*") if p.name != "__weights"}
    tables = {}
    for name, folder in folders.items():
        parts = sorted(folder.glob("part-*"))
        assert parts, f"{folder} has no rows on disk"
        table = pa.concat_tables([pq.read_table(part) for part in parts])
        keep = [column for column in table.column_names if column != "seconds"]
        tables[name] = table.select(keep).to_pylist()
    return tables


def weights_of(artifact: Path) -> dict[str, bytes]:
    """The weights of an artifact, byte for byte."""
    folder = artifact / "__weights"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
