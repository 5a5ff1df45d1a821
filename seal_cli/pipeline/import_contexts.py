"""import contexts: files -> contexts and their questions."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from seal_cli import console
from seal_cli.execution.key import keyed
from seal_cli.execution.runtime import Runtime
from seal_cli.execution.spec import Batch, Job, StageSpec, Work
from seal_cli.importers import arc_files, readers
from seal_cli.pipeline.models import SHIPPED
from seal_cli.settings import Takes
from seal_cli.store.identity import content_digest
from seal_cli.store.workspace import Workspace
from stages.domains import DOMAINS, ChosenDomain
from stages.errors import ConfigError, InputError
from stages.identity import canonical, digest
from stages.records import Context, Question, Record

SEMANTICS = 1
TAKES = Takes(models=False)
_DOMAIN_OF = {"tiny-grids": "arc"}  # contexts that we ship, where it is not knowledge
_READERS: dict[str, "Reader"] = {"arc": arc_files}  # of domains with files of their own forms


class Reader(Protocol):
    """A module that reads files; `readers`, where a domain has no other."""

    def files_of(self, path: Path) -> list[tuple[str, Path]]:
        """What is read, each file with the part of its name that decides what becomes of it."""

    def read(self, path: Path, split: str | None) -> Iterator[dict[str, Any]]:
        """Plain dicts; what they mean the domain says."""


def _reader(domain: str) -> Reader:
    return _READERS.get(domain, readers)


@dataclass(frozen=True)
class Source:
    """A local file or folder, or a dataset of the hub at a revision."""

    name: str
    revision: str | None = None

    def content(self, domain: str) -> str:
        """What it is known by, wherever it lies."""
        if self.revision is not None:
            return f"{self.name}@{self.revision}"
        return content_digest(_reader(domain).files_of(Path(self.name)))

    def rows(self, domain: str, split: str | None) -> Iterator[dict[str, Any]]:
        """Its tasks or passages as plain dicts."""
        if self.revision is not None:
            return readers.hub(self.name, self.revision, split)
        return _reader(domain).read(Path(self.name), split)


@dataclass(frozen=True, kw_only=True)
class ImportContexts(StageSpec):
    """One run of `seal import contexts`."""

    STAGE = "import"
    HERE = True
    KIND = "contexts"
    TABLES = ("questions",)

    SEMANTICS = SEMANTICS

    sources: tuple[Source, ...] = field(compare=False)
    content: tuple[str, ...]  # what the sources are known by; of `only` some, what those say
    domain: ChosenDomain
    split: str | None
    limit: int | None
    only: tuple[str, ...] | None = field(compare=False)
    # What was read of `only` some contexts to know them by; pickled, a spec has it not.
    read: tuple[Record, ...] | None = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"read": None}

    def inputs(self) -> tuple[str, ...]:
        return ()

    def about(self) -> dict[str, str]:
        return {"domain": self.domain.name}

    def config(self) -> dict[str, Any]:
        asked = {"split": self.split, "limit": self.limit, "only": self.only}
        found = {"domain": self.domain.name, **asked}
        return {"import": {name: keyed(value) for name, value in found.items()}}

    def source(self) -> str:
        return ", ".join(source.name for source in self.sources)

    def open(self, runtime: Runtime, store: Workspace, job: Job) -> Work:
        """Nothing -> contexts and questions."""

        def work(batch: Batch, made: Sequence[Record]) -> list[Record]:
            rows = self.read or tuple(self.records())
            if self.known_by(rows) != self.content:
                raise InputError(f"{self.source()} has changed meanwhile.", "Import it again.")
            n_contexts = sum(isinstance(row, Context) for row in rows)
            console.say(f"{n_contexts} contexts, {len(rows) - n_contexts} questions.")
            return list[Record](rows)

        return work

    def known_by(self, rows: Sequence[Record]) -> tuple[str, ...]:
        """What the files say or, of `only` some contexts, what these rows of them say."""
        if self.only is None:
            return tuple(source.content(self.domain.name) for source in self.sources)
        return (digest(canonical([asdict(row) for row in rows])),)

    def records(self) -> Iterator[Context | Question]:
        """Contexts with questions, each passage once. Raises InputError without one of `only`."""
        domain, split, limit = self.domain.name, self.split, self.limit
        seen: dict[str, list[Question]] = {}
        met: dict[str, str] = {}  # id and title of every context that was read
        merged = 0
        wanted = None if self.only is None else frozenset(self.only)
        for row in (row for source in self.sources for row in source.rows(domain, split)):
            if split is not None and row.get("split") not in (None, split):
                continue
            if limit is not None and len(seen) == limit:
                break
            context, questions = DOMAINS[domain].read(
                row, ordinal=len(seen), split=split or "train"
            )
            met[context.context_id] = context.title
            if wanted is not None and not wanted & {context.title, context.context_id}:
                continue
            if context.context_id in seen:
                merged += 1
                yield from _renumbered(context.context_id, questions, seen[context.context_id])
                continue
            seen[context.context_id] = questions
            yield context
            yield from questions
        absent = (wanted or frozenset()) - met.keys() - set(met.values())
        if absent:
            names = ", ".join(name or "an empty name" for name in sorted(absent))
            raise InputError(
                f"not among the {len(met)} contexts: {names}.",
                "Give titles or context ids, commas between: --only 59341089,66e6c45b.",
            )
        if not seen:
            raise InputError("no passage was found.", "Check the path and --split.")
        if merged:
            console.say(
                f"{merged} passages came again; their new questions were added to the first."
            )


def import_contexts(
    paths: Sequence[str],
    *,
    domain: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    only: str | Sequence[str] | None = None,
) -> ImportContexts:
    """The run that was asked for. `only` are titles or ids of contexts, in a text with commas.

    Raises InputError where there is no such file, or one of `only` is not there, and ConfigError
    where there is no such domain, or a limit goes with `only`.
    """
    if domain is not None and domain not in DOMAINS:
        raise ConfigError(
            f"there is no domain {domain!r}.", f"Choose one of: {', '.join(DOMAINS)}."
        )
    domain = domain or next(filter(None, map(_DOMAIN_OF.get, paths)), "knowledge")
    sources = tuple(_source(path, domain, split) for path in paths)
    if isinstance(only, str):
        only = [name.strip() for name in only.split(",")]
    if only is not None and limit is not None:
        raise ConfigError("--only and --limit do not go together.", "Leave --limit out.")
    spec = ImportContexts(
        sources=sources,
        content=(),
        domain=ChosenDomain(domain),
        split=split,
        limit=limit,
        only=None if only is None else tuple(only),
    )
    read = None if only is None else tuple(spec.records())
    return replace(spec, content=spec.known_by(read or ()), read=read)


def _source(path: str, domain: str, split: str | None) -> Source:
    """A local file or folder, the contexts of a model that we ship, or a hub dataset."""
    local = Path(path)
    if path in SHIPPED and not local.exists():
        if split not in (None, "train", "eval"):
            raise InputError(f"{path} has no split {split!r}.", "It has train and eval.")
        local = SHIPPED[path] / f"{split or 'train'}.jsonl"
    if local.exists():
        return Source(str(local.absolute()))
    on_hub = "/" in path and not local.suffix and not path.startswith((".", "/", "~"))
    if on_hub and domain not in _READERS:
        return Source(path, readers.hub_revision(path))
    raise InputError(f"there is no file {path}.", "Check the path.")


def _renumbered(
    context_id: str, questions: Sequence[Question], known: list[Question]
) -> Iterator[Question]:
    """The questions that are new, with ordinals that go on after the known ones."""
    asked = {question.question for question in known}
    for question in questions:
        if question.question not in asked:
            ordinal = len(known)
            question_id = digest(context_id, ordinal, question.question)
            new = Question(question_id, context_id, ordinal, question.question, question.answers)
            known.append(new)
            yield new
