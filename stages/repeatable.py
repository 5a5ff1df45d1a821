"""Whether a query gives the same rows whenever it runs: a rule has to, for its key is its text.

Read from DuckDB's own parse, so neither a comment nor a quoted name can hide a call.
"""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stages.errors import ConfigError

if TYPE_CHECKING:
    import duckdb

TABLE_FUNCTIONS = ("generate_series", "range", "unnest")  # all others read something, or run a text
# DuckDB (2.0) calls these CONSISTENT, and they ask the clock: with one argument, without, by name.
_CLOCKS = {"age", "current_localtime", "current_localtimestamp"}
# What is no call in SQL and asks the clock all the same.
_KEYWORDS = {"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"}


def check_repeatable(connection: "duckdb.DuckDBPyConnection", query: str) -> None:
    """Raise ConfigError for anything but one SELECT whose every part is repeatable."""
    varying = _varying(connection)
    for what in _used(parsed(connection, query)):
        if what in varying or what == "SAMPLE":
            raise ConfigError(
                f"the rule uses {what}, which need not give the same twice.",
                "A rule has to keep the same self-edits whenever it runs. Use hash(self_edit_id) "
                "for an arbitrary choice.",
            )
        if what.startswith("TABLE ") and what.removeprefix("TABLE ") not in TABLE_FUNCTIONS:
            raise ConfigError(
                f"the rule reads from {what.removeprefix('TABLE ')}().",
                f"Read from the tables, or from {', '.join(TABLE_FUNCTIONS)}.",
            )


def parsed(connection: "duckdb.DuckDBPyConnection", query: str) -> Any:
    """The one SELECT of a rule as DuckDB parses it. Raises ConfigError for anything else."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", [query]).fetchall()
    try:
        found = json.loads(text)
    except RecursionError as error:
        raise ConfigError("the rule is nested too deeply.", "Write it simpler.") from error
    if found["error"]:
        said = found.get("error_message", "no SELECT")
        raise ConfigError(f"the rule is not understood: {said}.", "Give one SELECT.")
    if len(found["statements"]) != 1:
        n_statements = len(found["statements"])
        raise ConfigError(f"the rule has {n_statements} statements.", "Give one SELECT.")
    return found


def nodes(parse: Any) -> Iterator[dict[str, Any]]:
    """Every node of a parse, in no order that means anything."""
    waiting = [parse]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            yield node


def _used(parse: Any) -> Iterator[str]:
    """Every function, table function (`TABLE name`), clock keyword and `SAMPLE` of a query."""
    for node in nodes(parse):
        if node.get("function_name"):
            yield node["function_name"].lower()
        if node.get("type") == "TABLE_FUNCTION":
            yield f"TABLE {node['function']['function_name'].lower()}"
        if node.get("class") == "COLUMN_REF" and len(node["column_names"]) == 1:
            yield from _KEYWORDS & {node["column_names"][0].lower()}
        if node.get("sample"):
            yield "SAMPLE"


def _varying(connection: "duckdb.DuckDBPyConnection") -> set[str]:
    """The functions that DuckDB does not call CONSISTENT, and the macros that use one."""
    rows = connection.execute(
        "SELECT function_name, stability, macro_definition FROM duckdb_functions() "
        "WHERE function_type NOT IN ('table', 'table_macro', 'pragma')"
    ).fetchall()
    macros = {name: "" for name, _, text in rows if text is not None}
    for name, _, text in rows:
        if text is not None:
            macros[name] += f" {text}"
    varying = {name for name, stability, text in rows if text is None and stability != "CONSISTENT"}
    varying |= _CLOCKS | _KEYWORDS
    while True:
        more = {name for name, text in macros.items() if varying & set(re.findall(r"\w+", text))}
        if more <= varying:
            return varying
        varying |= more
