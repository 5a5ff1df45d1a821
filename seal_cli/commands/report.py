"""`seal report`: named questions to the store, as a table, CSV, Markdown or a page with plots."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from seal_cli import console, reports
from seal_cli.options import SecondsOption, store_of
from seal_cli.reports.terminal import plot
from seal_cli.reports.trust import trust
from seal_cli.reports.written import as_csv, as_html, as_markdown
from seal_cli.store import index
from seal_cli.store.query import check_complete, fetch
from seal_cli.tables import layout
from stages.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

NamesArg = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]…", help="Names of reports, or all. Without one, list them."),
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="For the report examples: a context's id or title.")
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
    """Print a named report: the paper's tables, rounds, cost."""
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
    _give(found, format, output, str(workspace.root))
    check_complete(workspace)


def _give(
    found: "Sequence[tuple[reports.Report, pa.Table]]",
    format: Format,
    output: Path | None,
    source: str,
) -> None:
    """Print what was found, or write it to a file."""
    if format is Format.table and output is None:
        for question, result in found:
            _print(question, result)
        return
    text = _WRITTEN[format](found, source)
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


def _print(question: reports.Report, result: "pa.Table") -> None:
    """A report for people."""
    for text in (question.doc, question.caption(result.column_names)):
        if text:
            console.out_rich(text)
    rows, wide = result.to_pylist(), console.width()
    for part in layout(result.column_names, [tuple(row.values()) for row in rows], wide):
        console.out_rich(part)
    if wide and (picture := plot(question.name, rows, wide)):
        console.out(f"\n{picture}")
    if question.trust:
        console.out_rich(question.trust)


_WRITTEN = {
    Format.table: as_markdown,  # into a file
    Format.csv: as_csv,
    Format.md: as_markdown,
    Format.html: as_html,
}
