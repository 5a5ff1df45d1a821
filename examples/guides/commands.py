"""Write `commands.md`: every command with its options, as `seal COMMAND --help` has them.

Run it after a change of an option: `python examples/guides/commands.py`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from seal_cli.app import app

WIDTH = 100


def pages(command: Any, path: tuple[str, ...]) -> Iterator[str]:
    """A page for a command and each below it."""
    context = typer.Context(command, info_name=" ".join(path), terminal_width=WIDTH)
    if hasattr(command, "list_commands"):
        for name in sorted(command.list_commands(context)):
            found = command.get_command(context, name)
            if found is not None:
                yield from pages(found, (*path, name))
        return
    text = command.get_help(context)
    yield f"## {' '.join(path)}\n\n```text\n{text.strip()}\n```\n"


def document() -> str:
    """The whole file."""
    os.environ["TERM"] = "dumb"
    head = (
        "# Commands\n\nWritten by `commands.py` beside this file, from the commands themselves.\n"
    )
    return "\n".join([head, *pages(typer.main.get_command(app), ("seal",))])


if __name__ == "__main__":
    Path(__file__).with_name("commands.md").write_text(document(), encoding="utf-8")
