"""Which columns of its tables a query can be about: what it is worth to read them for."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stages.repeatable import nodes, parsed

# Of a query's parse: what stands for every column there is.
_WHOLE = {"STAR", "PIVOT", "SHOW_REF", "NATURAL"}


def named(query: str, tables: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Of each table the columns that a query names, all of them where it may mean a whole row.

    A name counts wherever it stands, so there may be more than it needs, never fewer.
    """
    import duckdb

    with duckdb.connect(":memory:") as connection:
        found = parsed(connection, query)
    texts = set(_texts(found))
    rows = {text.casefold() for text in _relations(found)} | {name.casefold() for name in tables}
    whole = not _WHOLE.isdisjoint(texts) or not rows.isdisjoint(_alone(found))
    known = {text.casefold() for text in texts}
    return {
        table: [name for name in columns if whole or name.casefold() in known]
        for table, columns in tables.items()
    }


def _texts(parse: Any) -> Iterator[str]:
    """Every text in it, and those of lists."""
    for node in nodes(parse):
        for value in node.values():
            yield from (text for text in (value if isinstance(value, list) else [value])
                        if isinstance(text, str))  # fmt: skip


def _relations(parse: Any) -> Iterator[str]:
    """What tables are called in it."""
    return (node["alias"] for node in nodes(parse) if node.get("alias") and "class" not in node)


def _alone(parse: Any) -> set[str]:
    """The names in it without what they are of: of a table, that is the whole row."""
    references = (node for node in nodes(parse) if node.get("class") == "COLUMN_REF")
    return {ref["column_names"][-1].casefold() for ref in references}
