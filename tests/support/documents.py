"""The shell blocks of a Markdown file, what they are shown to print, and whether that is so."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(sh|text)([^\n]*)\n(.*?)^```$", re.M | re.S)
_ID = re.compile(r"\b[a-z]+-[0-9a-f]{16}\b|\b[0-9a-f]{16}\b")
NEAR = 0.05  # what figures may differ by, of themselves or in all
REST = "…"  # a line of the document that stands for any number of lines


@dataclass(frozen=True)
class Block:
    """Commands as they are printed; why they do not run here; the output that follows, if any."""

    code: str
    reason: str | None
    shown: str | None


def blocks(path: Path) -> Iterator[Block]:
    """The `sh` blocks of a file. Raises AssertionError for one that neither runs nor says why."""
    text = path.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    for i, block in enumerate(found):
        kind, about, code = block.groups()
        if kind != "sh":
            continue
        assert re.fullmatch(r"| no-run: .+", about), f"{path}: ```sh{about}"
        after = found[i + 1] if i + 1 < len(found) else None
        follows = after and after[1] == "text" and not text[block.end() : after.start()].strip()
        yield Block(
            code, about.removeprefix(" no-run: ") or None, after[3] if after and follows else None
        )


def differs(shown: str, printed: str) -> str | None:
    """The first shown line that was not printed; ids are masked, figures may be a little off."""
    lines = iter(printed.splitlines())
    anywhere = False
    for line in shown.rstrip().splitlines():
        if line.strip() == REST:
            anywhere = True
            continue
        found = next(lines, None)
        while anywhere and found is not None and not _same(line, found):
            found = next(lines, None)
        if found is None or not _same(line, found):
            return f"shown:   {line}\nprinted: {found}"
        anywhere = False
    return None


def _same(shown: str, printed: str) -> bool:
    left, right = (_ID.sub("ID", line).split() for line in (shown, printed))
    return len(left) == len(right) and all(map(_near, left, right))


def _near(shown: str, printed: str) -> bool:
    if shown == printed:
        return True
    if re.fullmatch(r"[─├┤●]+", shown):  # a plot
        return bool(re.fullmatch(r"[─├┤●]+", printed))
    try:
        a, b = float(shown), float(printed)
    except ValueError:
        return False
    return abs(a - b) <= NEAR * max(1.0, abs(a))
