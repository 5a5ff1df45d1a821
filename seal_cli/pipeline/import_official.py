"""import official: the released SEAL data and results -> one artifact per file."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seal_cli import console
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, StageSpec, Work
from seal_cli.settings import Takes
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.domains import ChosenDomain
from stages.errors import InputError
from stages.records import Record

if TYPE_CHECKING:
    from seal_cli.importers.official.release import Release
    from seal_cli.importers.official.sources import Source


@dataclass(frozen=True, kw_only=True)
class ImportOfficial(StageSpec):
    """The import of one file of a release."""

    STAGE = "import"
    HERE = True
    SEMANTICS = 4

    KIND: str
    TABLES: tuple[str, ...] = field(compare=False)
    content: tuple[str, ...]  # digests of the file and of those that it is read with
    labels: tuple[str, ...]  # what was read from names
    domain: ChosenDomain
    root: str = field(compare=False)
    name: str = field(compare=False)
    meta: str = field(compare=False)  # how the file was made, as JSON
    # Gives the rows where the file was read already; pickled, a spec has it not.
    read: Callable[[], list[Record]] | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"read": None}

    def config(self) -> dict[str, Any]:
        return {"official": {"file": self.name, "meta": json.loads(self.meta)}}

    def about(self) -> dict[str, str]:
        return {"domain": self.domain.name}

    def inputs(self) -> tuple[str, ...]:
        return ()

    def source(self) -> str:
        return str(Path(self.root, self.name).resolve())

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """The file -> its rows."""

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            return self._found() if self.read is None else self.read()

        return work

    def _found(self) -> list[Record]:
        from seal_cli.importers.official.release import Release
        from seal_cli.importers.official.sources import Sources

        for source in Sources(Release(Path(self.root))):
            if source.file.name == self.name:
                rows = list(source.rows())
                if _content(source) == self.content:
                    return rows
        raise InputError(f"{self.name} is not in {self.root} as it was.", "Import it again.")


Run = Callable[[StageSpec], Artifact]
TAKES = Takes(models=False)


def import_official(directory: Path, run: Run) -> tuple[dict[str, Artifact], dict[str, str]]:
    """File name -> its artifact, or why it was left out. Raises InputError when all were."""
    from seal_cli.importers.official.release import Release  # its schemas take a while to import

    release = Release(directory)
    made, left_out = _made(release, run), release.left_out
    for name, why in left_out.items():
        console.say(f"{name} left out: {why}.")
    if not made:
        what = f"none of {len(left_out)} files" if left_out else "no file"
        raise InputError(
            f"{directory} has {what} that could be imported as one of the SEAL release.",
            "Give the folder that holds general-knowledge/ or knowledge-incorporation/.",
        )
    console.say(f"{len(made)} files imported, {len(left_out)} left out.")
    return {file.name: made[file.name] for file in release.files if file.name in made}, left_out


def _made(release: "Release", run: Run) -> dict[str, Artifact]:
    """File name -> its artifact, for every file that can be used; the release has the others."""
    from seal_cli.importers.official.sources import Sources

    made: dict[str, Artifact] = {}
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
            made[source.file.name] = run(_spec(release, source, rows))
            artifact = made[source.file.name].id
            console.say(f"{artifact}  {source.kind}  {source.file.name}")
    return made


def _spec(release: "Release", source: "Source", rows: list[Record]) -> ImportOfficial:
    return ImportOfficial(
        KIND=source.kind,
        TABLES=tuple(source.tables),
        content=_content(source),
        labels=tuple(source.labels),
        domain=ChosenDomain(source.domain),
        root=str(release.root.resolve()),
        name=source.file.name,
        meta=json.dumps(dict(source.meta)),
        read=lambda: rows,
    )


def _content(source: "Source") -> tuple[str, ...]:
    return tuple(file.sha256 for file in (source.file, *source.beside))
