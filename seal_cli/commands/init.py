"""`seal init`: a store and a starter seal.toml."""

from pathlib import Path
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import store_of
from seal_cli.settings import DEFAULT_FILE, starter
from seal_cli.store import index

FileOption = Annotated[
    Path, typer.Option("--config", help="The settings file to write, if it is not there.")
]


def init(ctx: typer.Context, config: FileOption = DEFAULT_FILE) -> None:
    """Make an empty store and a settings file with every key at its default."""
    workspace = store_of(ctx)
    workspace.create()
    index.refresh(workspace)
    if config.exists():
        console.say(f"{config} is there already and was left as it is.")
    else:
        config.write_text(starter(), encoding="utf-8")
        console.say(f"{config} holds every setting at its default.")
    console.out(str(workspace.root))
