"""`seal import official`: the released SEAL data and results -> one artifact per file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seal_cli import console
from seal_cli.execution.spec import WHOLE
from seal_cli.execution.task import Job, Task, Work
from seal_cli.session import Session
from stages.errors import InputError

if TYPE_CHECKING:
    from seal_cli.official.sources import Source

SEMANTICS = 3

DirectoryArg = Annotated[
    Path,
    typer.Argument(metavar="DIR", help="The release, or the part of it that you have."),
]


def import_official(session: Session, directory: DirectoryArg) -> None:
    """Import the released SEAL data and results: self-edits, judged answers, rewards, metrics.

    Reads both layouts (knowledge-incorporation/ and general-knowledge/) and few-shot/. Every file
    becomes an artifact of its own, every row says where it was read.
    """
    from seal_cli.official.release import Release  # its schemas take a while to import
    from seal_cli.official.sources import sources

    release = Release(directory)
    found = list(sources(release))
    for name, why in release.skipped.items():
        console.say(f"{name} left out: {why}.")
    if not found:
        raise InputError(
            f"{directory} has no file of the SEAL release.",
            "Give the folder that holds general-knowledge/ or knowledge-incorporation/.",
        )
    for source in found:  # before anything is written: all of it can be read, or nothing is done
        for _ in source.rows():
            pass
        for remark in source.file.remarks:
            console.say(remark)
    artifacts = []
    with console.progress("import", total=len(found)) as advance:
        for source in found:
            artifacts.append(session.run(_task(source)))
            console.say(f"{artifacts[-1].id}  {source.kind}  {source.file.name}")
            advance(1)
    session.answer(*artifacts)


def _task(source: "Source") -> Task:
    def open(job: Job) -> Work:
        return lambda _: source.rows()

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
