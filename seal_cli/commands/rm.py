"""`seal rm`: take artifacts away."""

import os
from typing import Annotated

import typer

from seal_cli.discarding import YesFlag, go
from seal_cli.options import from_stdin, store_of
from seal_cli.store.identity import ID
from seal_cli.store.removal import chosen
from seal_cli.store.workspace import Workspace

IdsArg = Annotated[list[str], typer.Argument(metavar="ID…", help="Artifacts, or unfinished runs.")]


def rm(ctx: typer.Context, ids: IdsArg, yes: YesFlag = False) -> None:
    """Move artifacts to the store's trash, with --yes.

    Without --yes it prints what would go.
    """
    store = store_of(ctx)
    named = dict.fromkeys(_found(store, from_stdin() if one == "-" else one) for one in ids)
    go(store, list(chosen(store, list(named))), yes=yes)


def _found(store: Workspace, reference: str) -> str:
    """An artifact's id, or that of a run that was begun."""
    begun = ID.fullmatch(reference) and os.path.lexists(store.work_path(reference))
    return reference if begun else store.resolve(reference)
