"""`seal import contexts`: files -> one contexts artifact."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from seal_cli import console, readers
from seal_cli.models import TINY
from seal_cli.runner import WHOLE, Job, Task, Work
from seal_cli.session import Session
from seal_cli.store.identity import content_digest
from stages.domains import DOMAINS
from stages.errors import ConfigError, InputError
from stages.identity import digest
from stages.records import Context, Question

SEMANTICS = 1

PathsArg = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH…",
        help="SQuAD JSON, JSONL, Parquet, a saved or hub dataset, a folder of texts, or tiny.",
    ),
]
DomainOption = Annotated[
    str, typer.Option("--domain", help=f"What is learned: {', '.join(DOMAINS)}.")
]
SplitOption = Annotated[
    str | None,
    typer.Option("--split", help="Split to take, and the label of passages that have none."),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Take the first N contexts.")
]


def import_contexts(
    session: Session,
    paths: PathsArg,
    domain: DomainOption = "knowledge",
    split: SplitOption = None,
    limit: LimitOption = None,
) -> None:
    """Import passages and their questions from files into one artifact."""
    if domain not in DOMAINS:
        raise ConfigError(
            f"there is no domain {domain!r}.", f"Choose one of: {', '.join(DOMAINS)}."
        )
    session.answer(session.run(task(paths, domain=domain, split=split, limit=limit)))


def task(
    paths: Sequence[str],
    *,
    domain: str = "knowledge",
    split: str | None = None,
    limit: int | None = None,
) -> Task:
    """The run that `seal import contexts` and `seal loop --contexts tiny` share."""
    config = {"domain": domain, "split": split, "limit": limit}
    places = [_place(path, split) for path in paths]

    def open(job: Job) -> Work:
        return lambda _: _records(places, domain, split, limit)

    return Task(
        stage="import",
        kind="contexts",
        inputs=(),
        material={
            "semantics": [SEMANTICS, DOMAINS[domain].SEMANTICS],
            "content": [content_digest([p]) if isinstance(p, Path) else p for p in places],
            **config,
        },
        config=config,
        items=lambda: [WHOLE],
        open=open,
        tables=("questions",),
        source=", ".join(str(p.absolute()) if isinstance(p, Path) else p for p in places),
    )


def _place(path: str, split: str | None) -> Path | str:
    """A local file or folder, the tiny world's own contexts, or the name of a hub dataset."""
    local = Path(path)
    if local.exists():
        return local
    if path == "tiny":
        if split not in (None, "train", "eval"):
            raise InputError(f"tiny has no split {split!r}.", "It has train and eval.")
        return TINY / f"{split or 'train'}.jsonl"
    if "/" in path and not local.suffix and not path.startswith((".", "/", "~")):
        return path
    raise InputError(f"there is no file {path}.", "Check the path.")


def _records(
    places: Sequence[Path | str], domain: str, split: str | None, limit: int | None
) -> Iterator[Context | Question]:
    """Contexts with their questions; a passage that comes twice keeps all its questions once."""
    seen: dict[str, list[Question]] = {}
    merged = 0
    for row in _rows(places, split):
        if limit is not None and len(seen) == limit:
            break
        context, questions = DOMAINS[domain].read(row, ordinal=len(seen), split=split or "train")
        if context.context_id in seen:
            merged += 1
            yield from _renumbered(context.context_id, questions, seen[context.context_id])
            continue
        seen[context.context_id] = questions
        yield context
        yield from questions
    if not seen:
        raise InputError("no passage was found.", "Check the path and --split.")
    if merged:
        console.say(f"{merged} passages came again; their new questions were added to the first.")
    total = sum(map(len, seen.values()))
    console.say(f"{len(seen)} contexts, {total} questions.")


def _rows(places: Sequence[Path | str], split: str | None) -> Iterator[dict[str, Any]]:
    for place in places:
        yield from (
            readers.read(place, split) if isinstance(place, Path) else readers.hub(place, split)
        )


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
