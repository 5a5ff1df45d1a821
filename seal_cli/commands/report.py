"""`seal report`: named questions to the store, as a table, CSV, Markdown or a page with plots."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from seal_cli import console, reports
from seal_cli.console import cell
from seal_cli.options import SecondsOption, store_of
from seal_cli.reports.colours import COLOURS
from seal_cli.reports.trust import trust
from seal_cli.reports.written import as_csv, as_html, as_markdown
from seal_cli.store import index
from seal_cli.store.query import fetch
from stages.domains import drawn
from stages.errors import ConfigError

_SHORT = 40  # characters of a value that can be said above a table

NamesArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]…", help="Reports, or all. Without a name: what there is."),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="For examples: a context's id or title.")
]
OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Write to this file instead of stdout.")
]


class Format(StrEnum):
    """How a report is written."""

    table = "table"
    csv = "csv"
    md = "md"
    html = "html"


FormatOption = Annotated[
    Format, typer.Option("--format", "-f", help="html is one page with plots; csv one report.")
]


def report(
    ctx: typer.Context,
    names: NamesArg = None,
    format: FormatOption = Format.table,
    context: ContextOption = None,
    output: OutputOption = None,
    timeout: SecondsOption = 60.0,
) -> None:
    """Answer named questions about the store: the paper's tables, rounds, reward noise, cost."""
    if not names and format is not Format.html:
        console.out_rich(_catalogue())
        return
    chosen = reports.NAMES if names in (None, [], ["all"]) else names or ()
    if format is Format.csv and len(chosen) > 1:
        raise ConfigError("CSV holds one report.", "Name one, or use --format md or html.")
    if output is not None:
        console.check_folder(output)
    workspace = store_of(ctx)
    index.refresh(workspace)
    found = []
    for question in map(reports.find, chosen):
        parameters = {"context": context} if "$context" in question.sql else {}
        result = fetch(workspace, question.sql, timeout, parameters)
        if result.num_rows == 0:
            console.say(f"{question.name}: nothing to report yet. {question.needs}")
        question = replace(question, trust=trust(workspace, result, timeout))
        found.append((question, result))
    if format is Format.table and output is None:
        for question, result in found:
            console.out_rich(_table(question, result))
        return
    text = _WRITTEN[format](found, str(workspace.root))
    if output is None:
        console.out(text.rstrip("\n"))
    else:
        console.save(text, output)
        console.say(f"written to {output}.")


def _catalogue() -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("report", no_wrap=True)
    table.add_column("what it answers")
    for name in reports.NAMES:
        table.add_row(name, reports.find(name).doc)
    return table


def _table(question: reports.Report, result: Any) -> Table:
    """A report for people: what is the same on every line is said once, above them."""
    rows = result.to_pylist()
    same = {name: rows[0][name] for name in result.column_names if _is_same(name, rows)}
    title = "\n".join(filter(None, (question.doc, question.caption(result.column_names))))
    said = ", ".join(f"{name} {cell(value)}" for name, value in same.items() if value is not None)
    if said:
        title += f"\nOn every line: {said}."
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    table.caption, table.caption_justify = question.trust or None, "left"
    numbers = {f.name for f in result.schema if str(f.type) in ("double", "int64", "int32")}
    shown = [name for name in result.column_names if name not in same]
    for name in shown:
        table.add_column(
            name, overflow="fold", justify="right" if name in numbers else "left", min_width=5
        )
    for row in rows:
        table.add_row(*(_shown(row[name]) for name in shown))
    return table


def _is_same(name: str, rows: list[dict[str, Any]]) -> bool:
    """Whether a column tells no line from another: it is empty, or one short value."""
    values = [row[name] for row in rows]
    if all(value is None for value in values):
        return bool(values)
    short = not isinstance(values[0], float) and len(str(values[0])) <= _SHORT
    return len(values) > 1 and short and all(value == values[0] for value in values)


def _shown(value: Any) -> str | Text:
    """A value as people read it; a grid as coloured cells, two columns wide."""
    found = drawn(value) if isinstance(value, str) else None
    if found is None:
        return cell(value)
    grid = Text("\n").join(
        Text.assemble(*((f"{colour} ", f"black on {COLOURS[colour]}") for colour in row))
        for row in found
    )
    return grid + Text("\n")


_WRITTEN = {
    Format.table: as_markdown,  # into a file
    Format.csv: as_csv,
    Format.md: as_markdown,
    Format.html: as_html,
}
