"""`seal import official`: the released SEAL data and results -> one artifact per file."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from seal_cli import console
from seal_cli.pipeline import import_official as pipeline
from seal_cli.session import Session
from seal_cli.store import index
from stages.errors import InputError, RowsFailed

DirectoryArg = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The release, or the part of it that you have."),
]


def import_official(session: Session, directory: DirectoryArg) -> None:
    """Import the released SEAL data and results: self-edits, judged answers, rewards, metrics.

    Reads both layouts (knowledge-incorporation/ and general-knowledge/) and few-shot/. Every file
    becomes an artifact of its own, every row says where it was read. A file that cannot be used is
    named with the reason and left out; --strict makes that exit 4.
    """
    from seal_cli.importers.official.release import Release  # its schemas take a while to import

    release = Release(directory)
    quick = replace(session, options=replace(session.options, index=False))
    made = pipeline.import_official(release, quick.run)
    if made:
        index.refresh(session.workspace)
    left_out = release.left_out
    for name, why in left_out.items():
        console.say(f"{name} left out: {why}.")
    if not made:
        what = f"none of {len(left_out)} files" if left_out else "no file"
        raise InputError(
            f"{directory} has {what} that could be imported as one of the SEAL release.",
            "Give the folder that holds general-knowledge/ or knowledge-incorporation/.",
        )
    console.say(f"{len(made)} files imported, {len(left_out)} left out.")
    session.answer(*(made[file.name] for file in release.files if file.name in made))
    if left_out and session.options.strict:
        raise RowsFailed(
            f"{len(left_out)} files were left out.", "See the reasons above, or leave off --strict."
        )
