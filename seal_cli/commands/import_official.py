"""`seal import official`: the released SEAL data and results -> one artifact per file."""

from pathlib import Path
from typing import Annotated

import typer

from seal_cli.api import Seal
from seal_cli.options import stage_command
from seal_cli.pipeline.import_official import TAKES

DirectoryArg = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="Folder with the release, or a part of it."),
]


@stage_command(TAKES, Seal.import_official)
def import_official(directory: DirectoryArg) -> None:
    """Import the released SEAL data and results.

    Self-edits, judged answers, rewards and metrics. Reads both layouts (knowledge-incorporation/
    and general-knowledge/) and few-shot/. Every file becomes an artifact of its own, every row says
    where it was read. A file that cannot be used is named with the reason and left out; --strict
    makes that exit 4.
    """
