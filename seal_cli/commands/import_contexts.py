"""`seal import contexts`: files -> one contexts artifact."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from seal_cli import arc_files, console, readers
from seal_cli.execution.spec import WHOLE
from seal_cli.execution.task import Job, Task, Work
from seal_cli.models import SHIPPED
from seal_cli.session import Session
from seal_cli.store.identity import content_digest
from stages.domains import DOMAINS
from stages.errors import ConfigError, InputError
from stages.identity import canonical, digest
from stages.records import Context, Question

SEMANTICS = 1

PathsArg = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH…",
        help="SQuAD JSON, JSONL, Parquet, a saved or hub dataset, a folder of texts, ARC JSON "
        "(with --domain arc), tiny or tiny-grids.",
    ),
]
DomainOption = Annotated[
    str | None,
    typer.Option(
        "--domain",
        help=f"What is learned: {', '.join(DOMAINS)} [default: knowledge; of tiny-grids arc].",
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Split to take, and the label of passages that have none."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Take the first N contexts.")
]
OnlyOption = Annotated[
    str | None,
    typer.Option(
        "--only",
        metavar="ID,...",
        help="Take these contexts alone, in the order of the file: titles or context ids.",
    ),
]


def import_contexts(
    session: Session,
    paths: PathsArg,
    domain: DomainOption = None,
    split: SplitOption = None,
    limit: LimitOption = None,
    only: OnlyOption = None,
) -> None:
    """Import passages and their questions, or tasks, from files into one artifact."""
    if domain is not None and domain not in DOMAINS:
        raise ConfigError(
            f"there is no domain {domain!r}.", f"Choose one of: {', '.join(DOMAINS)}."
        )
    names = [name.strip() for name in only.split(",")] if only is not None else None
    session.answer(session.run(task(paths, domain=domain, split=split, limit=limit, only=names)))


def task(
    paths: Sequence[str],
    *,
    domain: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    only: Sequence[str] | None = None,
) -> Task:
    """The run that `seal import contexts` and `seal loop --contexts tiny` share.

    `only` are titles or ids of contexts; the key then has what was chosen in place of the files.

    Raises:
        InputError: one of `only` is not there.
        ConfigError: a limit goes with `only`.

    """
    domain = domain or ("arc" if "tiny-grids" in paths else "knowledge")
    config: dict[str, Any] = {"domain": domain, "split": split, "limit": limit}
    sources = [_source(path, domain, split) for path in paths]
    content = [source.content for source in sources]
    if only is None:
        records = partial(_records, sources, domain, split, limit)
    elif limit is not None:
        raise ConfigError("--only and --limit do not go together.", "Leave --limit out.")
    else:
        chosen = list(_records(sources, domain, split, None, frozenset(only)))
        content = [digest(canonical([asdict(record) for record in chosen]))]
        records = partial(iter, chosen)

    def open(job: Job) -> Work:
        return lambda _: records()

    return Task(
        stage="import",
        kind="contexts",
        inputs=(),
        material={
            "semantics": [SEMANTICS, DOMAINS[domain].SEMANTICS],
            "content": content,
            **config,
        },
        config=config | ({"only": list(only)} if only is not None else {}),
        items=lambda: [WHOLE],
        open=open,
        tables=("questions",),
        source=", ".join(source.name for source in sources),
    )


@dataclass(frozen=True)
class Source:
    """Something to import: what to call it, what its content is known by, and its rows."""

    name: str
    content: str
    rows: Callable[[], Iterator[dict[str, Any]]]


def _source(path: str, domain: str, split: str | None) -> Source:
    """A local file or folder, the contexts of a model that we ship, or a hub dataset."""
    local = Path(path)
    if path in SHIPPED and not local.exists():
        if split not in (None, "train", "eval"):
            raise InputError(f"{path} has no split {split!r}.", "It has train and eval.")
        local = SHIPPED[path] / f"{split or 'train'}.jsonl"
    if local.exists() and domain == "arc":
        content = content_digest(arc_files.files_of(local))
        return Source(str(local.absolute()), content, lambda: arc_files.read(local))
    if local.exists():
        content = content_digest(readers.files_of(local))
        return Source(str(local.absolute()), content, lambda: readers.read(local, split))
    if "/" in path and not local.suffix and not path.startswith((".", "/", "~")):
        revision = readers.hub_revision(path)
        rows = partial(readers.hub, path, revision, split)
        return Source(path, f"{path}@{revision}", rows)
    raise InputError(f"there is no file {path}.", "Check the path.")


def _records(
    sources: Sequence[Source],
    domain: str,
    split: str | None,
    limit: int | None,
    only: frozenset[str] | None = None,
) -> Iterator[Context | Question]:
    """Contexts with their questions; a passage that comes twice keeps all its questions once.

    Of `only`, titles or ids, one that no context has is an InputError at the end.
    """
    seen: dict[str, list[Question]] = {}
    met: dict[str, str] = {}  # id and title of every context that was read
    merged = 0
    for row in (row for source in sources for row in source.rows()):
        if split is not None and row.get("split") not in (None, split):
            continue
        if limit is not None and len(seen) == limit:
            break
        context, questions = DOMAINS[domain].read(row, ordinal=len(seen), split=split or "train")
        met[context.context_id] = context.title
        if only is not None and not only & {context.title, context.context_id}:
            continue
        if context.context_id in seen:
            merged += 1
            yield from _renumbered(context.context_id, questions, seen[context.context_id])
            continue
        seen[context.context_id] = questions
        yield context
        yield from questions
    absent = (only or frozenset()) - met.keys() - set(met.values())
    if absent:
        names = ", ".join(name or "an empty name" for name in sorted(absent))
        raise InputError(
            f"not among the {len(met)} contexts: {names}.",
            "Give titles or context ids, commas between: --only 59341089,66e6c45b.",
        )
    if not seen:
        raise InputError("no passage was found.", "Check the path and --split.")
    if merged:
        console.say(f"{merged} passages came again; their new questions were added to the first.")
    total = sum(map(len, seen.values()))
    console.say(f"{len(seen)} contexts, {total} questions.")


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
