"""`seal import official`: the released SEAL data and results -> one artifact per file."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_cli import console
from seal_cli.runner import WHOLE, Job, Task, Work
from seal_cli.session import Session
from seal_cli.store import index
from seal_cli.store.artifact import Artifact
from stages.errors import InputError, RowsFailed
from stages.records import Record

if TYPE_CHECKING:
    from seal_cli.official.release import Release
    from seal_cli.official.sources import Source

SEMANTICS = 4

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
    from seal_cli.official.release import Release  # its schemas take a while to import

    release = Release(directory)
    made = _import(session, release)
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


def _import(session: Session, release: "Release") -> dict[str, Artifact]:
    """File name -> its artifact, for every file that can be used; the release has the others."""
    from seal_cli.official.sources import Sources

    made: dict[str, Artifact] = {}
    quick = replace(session, options=replace(session.options, index=False))
    with console.progress("import", total=len(release.files)) as advance:
        for source in Sources(release):
            try:
                rows = list(source.rows())  # before anything is written: all of it, or nothing
            except InputError as error:
                release.leave_out(source.file, error)
                continue
            finally:
                advance(1)
            for remark in source.file.remarks:
                console.say(remark)
            made[source.file.name] = quick.run(_task(source, rows))
            artifact = made[source.file.name].id
            console.say(f"{artifact}  {source.kind}  {source.file.name}")
    if made:
        index.refresh(session.workspace)
    return made


def _task(source: "Source", rows: list[Record]) -> Task:
    def open(job: Job) -> Work:
        return lambda _: rows

    files = [source.file, *source.beside]
    return Task(
        stage="import",
        kind=source.kind,
        inputs=(),
        material={
            "semantics": [SEMANTICS],
            "domain": source.domain,
            "content": [file.sha256 for file in files],
            "names": list(source.labels),
        },
        config={"official": {"file": source.file.name, "meta": dict(source.meta)}},
        items=lambda: [WHOLE],
        open=open,
        tables=source.tables,
        source=str(source.file.path.resolve()),
    )
