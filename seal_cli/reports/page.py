"""Reports as one static HTML page that loads nothing. What the store has is data: escaped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from seal_cli import console
from seal_cli.reports import Report
from seal_cli.reports.colours import COLOURS
from stages.domains import Cells, drawn

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: #1c2522; background: #fff;
       font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .25rem; border-top: 1px solid #d5ddd9; padding-top: 1rem; }
p { max-width: 46rem; margin: .25rem 0 .75rem; }
nav a { margin-right: .8rem; }
a { color: #1f6f54; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid #e3e9e6; text-align: left;
         vertical-align: top; }
th { white-space: nowrap; background: #f3f6f5; }
td { white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.long { white-space: pre-wrap; min-width: 18rem; max-width: 40rem; overflow-wrap: anywhere; }
table.grid td { width: .7rem; height: .7rem; min-width: .7rem; padding: 0;
                border: 1px solid #fff; }
figure { margin: .5rem 0 1rem; }
pre { overflow-x: auto; background: #f3f6f5; padding: .75rem; font-size: .8rem; }
summary { cursor: pointer; color: #1f6f54; }
footer { margin-top: 3rem; font-size: .85rem; color: #55605b; overflow-wrap: anywhere; }
"""
# Our own styles and pictures: no script, no request, no form.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
_LONG = 40  # characters from which a text may wrap


@dataclass(frozen=True)
class Section:
    """One report with what it found."""

    report: Report
    columns: Sequence[str]
    rows: Sequence[dict[str, Any]]
    svg: str | None


def page(sections: Sequence[Section], source: str) -> str:
    """The whole page. `source` says what it was made from."""
    links = " ".join(f'<a href="#{s.report.name}">{s.report.name}</a>' for s in sections)
    parts = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>seal report</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        "<h1>seal report</h1>",
        f"<nav>{links}</nav>" if len(sections) > 1 else "",
        *(_section(section) for section in sections),
        f"<footer>{_escaped(source)}</footer>\n</body>\n</html>",
    ]
    return "\n".join(part for part in parts if part)


def _section(section: Section) -> str:
    report = section.report
    texts = report.notes, report.caption(section.columns)
    nothing = f"<p>Nothing to report yet. {_prose(report.needs)}</p>"
    return "\n".join(
        [
            f'<section id="{report.name}">\n<h2>{report.name}</h2>',
            f"<p><strong>{_prose(report.doc)}</strong></p>",
            *(f"<p>{_prose(text)}</p>" for text in texts if text),
            f"<figure>{section.svg}</figure>" if section.svg else "",
            _table(section) if section.rows else nothing,
            f"<details><summary>The query</summary><pre>{_escaped(report.sql)}</pre></details>",
            "</section>",
        ]
    )


def _table(section: Section) -> str:
    head = "".join(f"<th>{_escaped(name.replace('_', ' '))}</th>" for name in section.columns)
    places = {name: _decimals([row[name] for row in section.rows]) for name in section.columns}
    body = "\n".join(
        "<tr>" + "".join(_cell(row[name], places[name]) for name in section.columns) + "</tr>"
        for row in section.rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _decimals(values: Sequence[Any]) -> int:
    """Decimal places that the numbers of a column need, four at most, so that they line up."""
    needed = (len(f"{v:.4f}".rstrip("0").partition(".")[2]) for v in values if type(v) is float)
    return max(needed, default=0)


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return "<td></td>"
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, float):
        return f'<td class="number">{value:,.{decimals}f}</td>'
    if isinstance(value, int):
        return f'<td class="number">{value:,}</td>'
    text = str(value)
    found = drawn(text)
    if found is not None:
        return f"<td>{_grid(found)}</td>"
    kind = ' class="long"' if len(text) > _LONG else ""
    return f"<td{kind}>{_escaped(text)}</td>"


def _grid(grid: Cells) -> str:
    rows = "".join(
        "<tr>"
        + "".join(f'<td style="background:{COLOURS[cell]}" title="{cell}"></td>' for cell in row)
        + "</tr>"
        for row in grid
    )
    return f'<table class="grid">{rows}</table>'


def _escaped(text: str) -> str:
    return escape(console.safe(text))


def _prose(text: str) -> str:
    """Our own words, with `code` in them."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", _escaped(text))
