"""Reports as text: CSV, Markdown, or one HTML page with plots."""

import csv
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from seal_cli import __version__, console
from seal_cli.reports import Report

if TYPE_CHECKING:
    import pyarrow as pa

Found = Sequence[tuple[Report, "pa.Table"]]


def as_csv(found: Found, source: str) -> str:
    """The rows alone."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for _, result in found:
        writer.writerow(result.column_names)
        writer.writerows(row.values() for row in result.to_pylist())
    return buffer.getvalue()


def as_markdown(found: Found, source: str) -> str:
    """A heading, what to know and a table for each."""
    parts = []
    for question, result in found:
        names = result.column_names
        lines = [f"## {question.name}", "", question.doc, ""]
        for text in filter(None, (question.notes, question.caption(names))):
            lines += [text, ""]
        lines += [_row(names), _row(["---"] * len(names))]
        lines += [_row(list(map(console.cell, row.values()))) for row in result.to_pylist()]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _row(values: list[str]) -> str:
    """A Markdown table row; what would end a cell, or start markup, is escaped."""
    cells = (
        value.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for value in values
    )
    return "| " + " | ".join(value.replace("\n", "<br>") for value in cells) + " |"


def as_html(found: Found, source: str) -> str:
    """One page, nothing loaded from anywhere. `source` says what it was made from."""
    from seal_cli.reports.page import Section, page
    from seal_cli.reports.plots import svg

    sections = []
    for question, result in found:
        rows = result.to_pylist()
        sections.append(Section(question, result.column_names, rows, svg(question.name, rows)))
    return page(sections, f"seal {__version__}, from {source}")
