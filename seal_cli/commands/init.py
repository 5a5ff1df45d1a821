"""`seal init`: a store and a starter seal.toml."""

from pathlib import Path
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.options import PresetOption, store_of
from seal_cli.settings import DEFAULT_FILE, starter
from seal_cli.store import index
from stages.errors import ConfigError

FileOption = Annotated[
    Path, typer.Option("--config", help="The settings file to write, if it is not there.")
]


def init(
    ctx: typer.Context, config: FileOption = DEFAULT_FILE, preset: PresetOption = None
) -> None:
    """Make an empty store and a settings file with every key.

    Every key stands at its default, or as a preset has it.
    """
    text = starter(preset)
    workspace = store_of(ctx)
    if preset and config.exists() and config.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{config} is there already and was left as it is.",
            "Name another file with --config, or give --preset to the commands themselves.",
        )
    workspace.create()
    index.refresh(workspace)
    if config.exists():
        console.say(f"{config} is there already and was left as it is.")
    else:
        config.write_text(text, encoding="utf-8")
        what = f"the settings of {preset}" if preset else "every setting at its default"
        console.say(f"{config} holds {what}.")
    console.out(str(workspace.root))
