"""The data files: passages with their questions, self-edits, texts about entities.

A self-edit's id comes from its passage, prompt, place and text alone, so that the same one is the
same in the file it was written to and in the results that it earned.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from seal_cli.importers.official import labels, schemas
from seal_cli.importers.official.release import File, pointer
from stages.domains import knowledge
from stages.errors import InputError
from stages.identity import digest
from stages.records import Context, Policy, Question, SelfEdit

P = TypeVar("P", bound=schemas.Passage)
Rows = Iterator[Context | Question | SelfEdit | Policy]


def passages(file: File, data: Sequence[schemas.Passage]) -> Rows:
    """`data/squad_*.json` -> contexts and questions."""
    for _, _, about, questions in _once(file, data):
        yield about
        yield from questions


def self_edits(file: File, data: Sequence[schemas.Written]) -> Rows:
    """`data/synthetic_data/**` -> contexts, questions, and every completion as a self-edit."""
    prompt = labels.prompt_name(file.name, data[0].prompt)
    writer = labels.writer(file.name, prompt, file.inside)
    yield from (replace(row, **file.at("")) for row in writer.rows)
    for i, passage, about, questions in _once(file, data):
        yield about
        yield from questions
        for sample, text in enumerate(passage.completions):
            if text.strip():  # the passage-only baseline has empty ones
                place = pointer(i, "completions", sample)
                yield self_edit(file, about, sample, passage.prompt, prompt, text, writer, place)


def names(file: File, data: Sequence[schemas.Written]) -> list[str]:
    """What the file's name says of its rows."""
    prompt = labels.prompt_name(file.name, data[0].prompt)
    writer = labels.writer(file.name, prompt, file.inside)
    return [labels.split_of(file.name), prompt, writer.policy]


def entigraph_writer(file: File) -> labels.Writer:
    """The model that wrote EntiGraph's texts: `base_val_entigraph` is the base model's."""
    return labels.writer(file.name, "none", file.inside)


def entigraph(file: File, data: Sequence[schemas.Entigraph]) -> Rows:
    """EntiGraph's texts as self-edits: first those about pairs, then those about triples."""
    writer = entigraph_writer(file)
    yield from (replace(row, **file.at("")) for row in writer.rows)
    for i, passage, about, questions in _once(file, data):
        yield about
        yield from questions
        sample = 0
        for kind, texts in (
            ("pair", passage.pair_completions),
            ("triple", passage.triple_completions),
        ):
            for j, text in enumerate(texts):
                place = pointer(i, f"{kind}_completions", j)
                prompt = f"entigraph-{kind}s"
                yield self_edit(file, about, sample, "", prompt, text, writer, place)
                sample += 1


def _once(file: File, data: Sequence[P]) -> Iterator[tuple[int, P, Context, list[Question]]]:
    """Every passage once, with its place and rows. Raises InputError for one that differs again."""
    first: dict[str, int] = {}
    again = 0
    for i, passage in enumerate(data):
        about, questions = context(file, passage, i, labels.split_of(file.name), pointer(i))
        before = first.setdefault(about.context_id, i)
        if before == i:
            yield i, passage, about, questions
        elif passage == data[before]:
            again += 1
        else:
            why = f"the passage of {pointer(before)} again, with other questions or texts"
            raise file.broken(why, pointer(i))
    if again:
        file.remark(f"{again} passages came again, imported once")


def context(
    file: File, passage: schemas.Passage, ordinal: int, split: str, place: str
) -> tuple[Context, list[Question]]:
    """A passage as the knowledge domain has it: the context, then its questions."""
    try:
        about, questions = knowledge.read(passage.model_dump(), ordinal=ordinal, split=split)
    except InputError as error:
        raise file.broken(error.message.rstrip("."), place) from error
    if not about.text:
        raise file.broken(f"passage {ordinal} has no text", place)
    return replace(about, **file.at(place)), [
        replace(question, **file.at(f"{place}/questions/{question.ordinal}"))
        for question in questions
    ]


def self_edit(
    file: File,
    about: Context,
    sample: int,
    prompt: str,
    prompt_name: str,
    text: str,
    writer: labels.Writer,
    place: str,
) -> SelfEdit:
    """One completion. The release strips completions, and so do we."""
    return SelfEdit(
        self_edit_id=digest(about.context_id, prompt, sample, text.strip()),
        context_id=about.context_id,
        sample=sample,
        policy=writer.policy,
        round=writer.round,
        prompt_name=prompt_name,
        prompt=prompt,
        completion=text.strip(),
        status="ok",
        reason=None,
        n_tokens=None,
        seed=None,
        finish=None,
        **file.at(place),
    )
