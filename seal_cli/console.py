"""The only module that prints: data to stdout or a user's file, talk and progress to stderr.

Model text is data: control characters are shown, never obeyed, and no markup in it is interpreted.
"""

import json
import logging
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TextIO

from stages.errors import ConfigError, SealError

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDE, WIDEST = 200, 320  # characters of a line that goes to no terminal; the latter of a table
INTERVAL = 10.0  # seconds between progress lines where there is no terminal
# Control characters, the separators of lines and paragraphs, and what turns the direction of text.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]"
)
_NARROW = 24  # characters in which a column can be folded
_quiet = False
_stdin: TextIO | None = None


def take_stdin() -> None:
    """Keep what is piped in for ourselves: no library can read it, or wait for an answer."""
    global _stdin
    with suppress(OSError):  # it is closed
        _stdin = os.fdopen(os.dup(0), encoding="utf-8", errors="replace")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)


def piped() -> str:
    """All that is piped in."""
    stdin = _stdin or sys.stdin
    return stdin.read() if stdin else ""


def configure(*, quiet: bool) -> None:
    """Set how much is said on stderr, and let the stages' log speak there too."""
    global _quiet
    _quiet = quiet
    handler = _Talk()
    for name in ("stages", "seal_cli"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.WARNING if quiet else logging.INFO)


class _Talk(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{safe(record.getMessage())}\n")


def safe(text: str) -> str:
    """Text with its control characters made visible; line ends and tabs stay."""
    return _CONTROL.sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def cell(value: Any) -> str:
    """A value as people read it, safe on a terminal."""
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else safe(str(value))


def out(text: str) -> None:
    """One line of data on stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def out_json(value: Any) -> None:
    """One JSON object on stdout."""
    # On a terminal every control character is escaped, C1 included.
    out(json.dumps(value, ensure_ascii=sys.stdout.isatty(), default=str))


def width() -> int | None:
    """Characters of a line: the terminal's or those of COLUMNS, None for a file or a pipe."""
    chosen = os.environ.get("COLUMNS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return int(chosen)
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def out_rich(renderable: "RenderableType") -> None:
    """A text, table, tree or panel on stdout; its full width when there is no terminal."""
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table

    wide = width()
    if wide is None:
        wide = WIDE
        if isinstance(renderable, Table):
            limit = Console(width=WIDEST)
            wide = max(wide, Measurement.get(limit, limit.options, renderable).maximum)
    console = Console(file=sys.stdout, width=wide, highlight=False, markup=False, soft_wrap=False)
    with console.capture() as capture:
        console.print(renderable)
    # rich fills every line up to its width
    sys.stdout.write("\n".join(line.rstrip(" ") for line in capture.get().split("\n")))


def out_facts(facts: Mapping[str, Any]) -> None:
    """Names and what they stand for, a line each, on stdout."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, safe(str(value)))
    out_rich(table)


def out_columns(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = ()
) -> None:
    """A plain table on stdout, a line a row: rich lays out a thousand rows in half a second.

    Columns without a value are left out. What does not fit the line any more of the last column
    goes on below it.
    """
    cells = [[safe(cell).replace("\n", " ") for cell in row] for row in rows]
    shown = [i for i in range(len(headings)) if not rows or any(row[i] for row in cells)]
    lines = [[line[i] for i in shown] for line in (headings, *cells)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [str.rjust if headings[i] in right else str.ljust for i in shown]
    edge = width()
    left = sum(widths[:-1]) + 2 * (len(widths) - 1)
    text = []
    for line in lines:
        parts = zip(aligned[:-1], line[:-1], widths[:-1], strict=True)
        first = "".join(align(cell, size) + "  " for align, cell, size in parts)
        last = aligned[-1](line[-1], widths[-1])
        if edge is None or left + len(last.rstrip()) <= edge:
            text.append((first + last).rstrip())
        elif edge - left >= _NARROW:
            folded = wrap(last, edge - left, break_on_hyphens=False) or [""]
            text += [first + folded[0], *(" " * left + part for part in folded[1:])]
        else:
            text += [
                first.rstrip(),
                *("    " + part for part in wrap(last, max(edge - 4, 1), break_on_hyphens=False)),
            ]
    out("\n".join(text))


def check_folder(path: Path) -> None:
    """Raise ConfigError when a file cannot be saved there; asked before the work, not after."""
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path.parent} is not a folder.", "Make it, or write elsewhere.")


def save(text: str, path: Path) -> None:
    """Data to a file that the user named, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="\n")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def say(text: str) -> None:
    """One line of talk on stderr, unless quiet."""
    if not _quiet:
        sys.stderr.write(f"{safe(text)}\n")
        sys.stderr.flush()


def complain(error: SealError) -> None:
    """An error and what to do about it, on stderr, quiet or not."""
    sys.stderr.write(f"seal: {safe(error.message)}\n")
    if error.hint:
        sys.stderr.write(f"      {safe(error.hint)}\n")
    sys.stderr.flush()


@contextmanager
def progress(label: str, *, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes how many more items are done: a bar on a terminal, else lines."""
    if _quiet or total <= 1:
        yield lambda _: None
    elif sys.stderr.isatty() and not os.environ.get("CI"):
        with _bar(label, total, done) as advance:
            yield advance
    else:
        yield _lines(label, total, done)


@contextmanager
def _bar(
    label: str, total: int, done: int, *, size: bool = False
) -> Iterator[Callable[[int], None]]:
    from rich import progress as parts
    from rich.console import Console

    text, bars, left = "{task.description}", parts.BarColumn(), parts.TimeRemainingColumn()
    counts: list[parts.ProgressColumn] = [parts.MofNCompleteColumn()]
    if size:
        counts = [parts.DownloadColumn(), parts.TransferSpeedColumn()]
    columns = [parts.TextColumn(text), bars, *counts, left]
    with parts.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, completed=done)
        yield lambda n: bar.advance(task, n)


@contextmanager
def transfer(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes how many more bytes went, from any thread; says how fast."""
    start = last = time.monotonic()
    count, guard = 0, threading.Lock()

    def said(now: float) -> str:
        speed = count / 1e6 / max(now - start, 1e-3)
        return f"{label}: {count / 1e6:.1f} of {total / 1e6:.1f} MB, {speed:.1f} MB/s"

    def advance(n: int) -> None:
        nonlocal count, last
        with guard:
            count += n
            now = time.monotonic()
            if shown is not None:
                shown(n)
            elif now - last >= INTERVAL:
                last = now
                say(said(now))

    terminal = not _quiet and sys.stderr.isatty() and not os.environ.get("CI")
    with _bar(label, total, 0, size=True) if terminal else nullcontext() as shown:
        yield advance
    if count:
        say(said(time.monotonic()))


def _lines(label: str, total: int, done: int) -> Callable[[int], None]:
    start = last = time.monotonic()
    first, count = done, done

    def advance(n: int) -> None:
        nonlocal count, last
        count += n
        now = time.monotonic()
        if now - last >= INTERVAL or count == total:
            last = now
            left = (now - start) / max(count - first, 1) * (total - count)
            say(
                f"{label}: {count} of {total}" + (f", about {left:.0f} s left" if left >= 1 else "")
            )

    return advance
