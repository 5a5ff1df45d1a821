"""Saying what would go from a store, and letting it go with --yes."""

from collections.abc import Sequence
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.store import index
from seal_cli.store.removal import Goes
from seal_cli.store.workspace import Workspace
from stages.errors import BusyError

YesFlag = Annotated[bool, typer.Option("--yes", help="Do it; else it is only said.")]


def go(store: Workspace, going: Sequence[Goes], *, yes: bool) -> None:
    """Print what goes; with `yes` let it go. What is in use stays, and is named."""
    if yes:
        store.create()
    size = 0
    for one in going:
        size += one.bytes
        console.out(f"{one.path.relative_to(store.root)}\t{one.why}\t{one.bytes}")
        if not yes:
            continue
        try:
            one.go(store)
        except BusyError as error:
            console.say(f"{one.path.name} stays: {error.message}")
    if yes and going:
        index.refresh(store)
    done = "done; `seal gc --yes` empties the trash" if yes else "nothing was done: --yes does it"
    console.say(f"{len(going)} to go, {size / 1e6:.1f} MB; {done}.")
