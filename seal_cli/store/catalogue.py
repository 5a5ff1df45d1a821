"""What manifests say of all artifacts, as two tables: `artifacts` and `settings`."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.errors import InputError

if TYPE_CHECKING:
    import duckdb

SETTINGS = "settings"
_CATALOGUE = {
    "artifact_id": "VARCHAR",
    "kind": "VARCHAR",
    "stage": "VARCHAR",
    "inputs": "VARCHAR[]",
    "source": "VARCHAR",
    "created_at": "TIMESTAMPTZ",
    "status": "VARCHAR",
    "n_rows": "BIGINT",
    "seconds": "DOUBLE",
    "host": "VARCHAR",
    "n_invalid": "BIGINT",
    "n_failed": "BIGINT",
    "tag": "VARCHAR",
}
_SETTINGS = {"artifact_id": "VARCHAR", "section": "VARCHAR", "key": "VARCHAR", "value": "VARCHAR"}


def create(connection: "duckdb.DuckDBPyConnection") -> None:
    """The tables that are made from manifests, where they are not there."""
    for table, columns in (("artifacts", _CATALOGUE), (SETTINGS, _SETTINGS)):
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({typed})")


def fill(
    connection: "duckdb.DuckDBPyConnection",
    artifacts: Iterable[Artifact],
    told: Iterable[Artifact],
    names: Mapping[str, str],
) -> None:
    """Artifacts into the catalogue, and the settings of those that are `told`."""
    rows = (_catalogue_row(artifact, names.get(artifact.id)) for artifact in artifacts)
    insert(connection, "artifacts", list(_CATALOGUE.values()), rows)
    settings = (row for artifact in told for row in _settings_rows(artifact))
    insert(connection, SETTINGS, list(_SETTINGS.values()), settings)


def insert(
    connection: "duckdb.DuckDBPyConnection",
    table: str,
    kinds: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Rows of columns of these kinds, all at once: row by row, a thousand take a second."""
    values = list(map(list, zip(*rows, strict=True)))
    if values:
        lists = ", ".join(f"unnest(CAST(? AS {kind}[]))" for kind in kinds)
        connection.execute(f"INSERT INTO {table} SELECT {lists}", values)


def names_of(workspace: Workspace) -> dict[str, str]:
    """What artifacts are called, by id."""
    found = {}
    for name in workspace.names.all():
        with suppress(InputError):  # a damaged one is said where it is asked for
            found[str(workspace.names.get(name))] = name
    return found


def _settings_rows(artifact: Artifact) -> Iterator[list[str | None]]:
    """The settings of a run, as text."""
    for section, values in artifact.manifest["config"].items():
        for key, value in values.items():
            text = value if isinstance(value, str) or value is None else json.dumps(value)
            yield [artifact.id, section, key, text]


def _catalogue_row(artifact: Artifact, name: str | None) -> list[Any]:
    manifest = artifact.manifest
    main = manifest["tables"][artifact.kind]
    return [
        artifact.id,
        artifact.kind,
        artifact.stage,
        artifact.inputs,
        manifest["source"],
        manifest["created_at"],
        manifest["status"],
        main["rows"],
        manifest["seconds"],
        manifest["host"],
        main["status"].get("invalid", 0),
        main["status"].get("failed", 0),
        name,
    ]
