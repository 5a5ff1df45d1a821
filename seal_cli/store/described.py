"""What tables, views and columns hold, in a sentence each (`columns.toml`), with their types."""

import tomllib
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from stages.errors import ConfigError


@cache
def _texts() -> dict[str, Any]:
    text = Path(__file__).with_name("columns.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def described() -> dict[str, str]:
    """Every table and view with what it holds."""
    return dict(_texts()["tables"])


def described_columns(table: str) -> list[tuple[str, str, str]]:
    """The columns of a table or view: name, type, what it holds.

    Raises:
        ConfigError: there is no such table.

    """
    import duckdb

    from seal_cli.store.index import define_empty

    if table not in described():
        near = get_close_matches(table, described(), 1)
        hint = f"Did you mean {near[0]}?" if near else "`seal sql --tables` lists them."
        raise ConfigError(f"there is no table {table!r}.", hint)
    own, everywhere = _texts().get(table, {}), _texts()["any"]
    with duckdb.connect(":memory:") as connection:
        define_empty(connection)
        found = connection.execute(f'DESCRIBE "{table}"').fetchall()
    return [(name, kind, own.get(name) or everywhere[name]) for name, kind, *_ in found]
