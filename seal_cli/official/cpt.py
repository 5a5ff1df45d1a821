"""`results/cpt/**`: one model finetuned on many passages at once (paper Table 2, n=200 and 2067).

The files hold answers without their questions. The first release asked all questions of its
passages in order; the second drew 500 of them (Python's `random` with seed 42), and the passages
themselves are the validation set shuffled in the same way. Nothing in a file would show that its
answers were joined to other questions, so all that can be checked of the join is checked.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import PurePosixPath

from seal_cli.official import labels, schemas
from seal_cli.official.passages import context
from seal_cli.official.query_server import RESAMPLES, verdict
from seal_cli.official.release import File, Release, pointer
from stages.eval import bootstrap
from stages.identity import digest
from stages.records import Answer, Context, Metric, Question, Record

SHUFFLE = 42  # the release's seed, for passages and for questions


@dataclass(frozen=True)
class Column:
    """One model's answers and verdicts, and where they stand in the file."""

    method: str
    texts: Sequence[str]
    correct: Sequence[bool]
    texts_at: str
    correct_at: str


@dataclass(frozen=True)
class Run:
    """A file of results, of either layout, as the same thing."""

    file: File
    dataset: str
    model: str
    n_articles: int
    n_questions: int
    passage_only: bool
    drawn: bool  # whether the questions were drawn from all
    answers_at: str
    answers: schemas.ServerReply | schemas.PerQuestion

    @property
    def writer(self) -> labels.Writer:
        """Who wrote the self-edits."""
        name = "base" if self.passage_only else self.dataset
        return labels.writer(name, labels.prompt_name(self.dataset, ""), self.file.name)

    @property
    def method(self) -> str:
        """What the model was finetuned on; of what is neither, the file's own name."""
        if self.passage_only:
            return "passage-only"
        known = self.writer.name.startswith(("base", "iter", "gpt"))
        own = labels.stem_of(self.file.name)
        return "self-edits" if known and "adapter" not in own and "graph" not in own else own

    @property
    def student(self) -> labels.Writer:
        """The model that was finetuned: the base model, whoever wrote the texts."""
        return labels.writer(self.model, "implications", self.file.name)

    def columns(self) -> Iterator[Column]:
        """The unadapted model's answers, where it was asked, and the finetuned one's."""
        for name, method in (("baseline", "unadapted"), ("adapter", self.method)):
            texts = getattr(self.answers, f"{name}_texts")
            correct = getattr(self.answers, f"{name}_correct")
            if texts is not None and correct is not None:
                at = [f"{self.answers_at}/{name}_{column}" for column in ("texts", "correct")]
                yield Column(method, texts, correct, *at)


def run_of(file: File, data: schemas.CptRunV1 | schemas.CptRunV2) -> Run:
    """`results/cpt/cpt_*.json` of the first layout or `results/cpt/{200,2067}/*.json`."""
    answers: schemas.ServerReply | schemas.PerQuestion
    if isinstance(data, schemas.CptRunV1):
        place, answers, model, drawn = "server_reply", data.server_reply, "base", False
    else:
        place, answers, model, drawn = "per_question", data.per_question, data.model, True
    return Run(
        file=file,
        dataset=data.dataset,
        model=model,
        n_articles=data.n_articles,
        n_questions=data.eval_questions,
        passage_only=data.k_completions == 0 or "naive" in data.dataset,
        drawn=drawn,
        answers_at=pointer(place),
        answers=answers,
    )


def passages_file(release: Release) -> File | None:
    """The passages that the questions of every `cpt` file are from: squad_val, or what there is."""
    found = [file for file in release.of("passages") if labels.split_of(file.name) == "eval"]
    return min(found, key=lambda file: labels.stem_of(file.name) != "squad_val", default=None)


def named_file(release: Release, run: Run) -> File | None:
    """The file that the run names as its dataset; of several of that name the one most like it."""
    wanted = PurePosixPath(run.dataset).parts[::-1]

    def alike(file: File) -> int:
        pairs = zip(PurePosixPath(file.name).parts[::-1], wanted, strict=False)
        return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))

    found = max(release.of("self-edits", "passages"), key=alike, default=None)
    return found if found is not None and alike(found) else None


def shuffled(run: Run, source: File, passages: Sequence[schemas.Passage]) -> list[int]:
    """The places of the run's passages in `source`, in the release's order.

    Raises InputError when there are not as many, or one is there twice (it moves all others).
    """
    if run.n_articles > len(passages):
        why = f"{run.n_articles} passages, but {source.name} has {len(passages)}"
        raise run.file.broken(why, pointer("n_articles"))
    first: dict[tuple[str, str], int] = {}
    for place, passage in enumerate(passages):
        before = first.setdefault((passage.title, passage.context), place)
        if before != place:
            why = f"the passage of {pointer(before)} again: {run.file.name} cannot be joined"
            raise source.broken(why, pointer(place))
    places = list(range(len(passages)))
    random.Random(SHUFFLE).shuffle(places)
    return places[: run.n_articles]


def check_order(
    run: Run,
    source: File,
    passages: Sequence[schemas.Passage],
    named: File,
    written: Sequence[schemas.Passage],
) -> None:
    """Raise InputError when the dataset that the run names has other passages than we joined.

    It may have more of them: naive_val has 250.
    """
    for i, place in enumerate(shuffled(run, source, passages)):
        ours, theirs = passages[place], written[i]
        if (ours.title, ours.context) != (theirs.title, theirs.context):
            raise run.file.broken(
                f"{named.name} has another passage at {pointer(i)} than {source.name} gives",
                pointer("dataset"),
            )


def rows(run: Run, source: File, passages: Sequence[schemas.Passage]) -> Iterator[Record]:
    """The contexts and questions that were asked, the answers, their verdicts, the metrics.

    Raises InputError when the file does not have as many answers as it has questions.
    """
    asked = _asked(run, source, passages)
    written = {row.policy: row for row in (*run.student.rows, *run.writer.rows)}
    yield from (replace(row, **run.file.at("")) for row in written.values())
    yield from {about.context_id: about for about, _ in asked}.values()
    yield from (question for _, question in asked)
    for column in run.columns():
        if len(column.texts) != len(asked):
            why = f"{len(column.texts)} entries for {len(asked)} questions"
            raise run.file.broken(why, column.texts_at)
        for i, (about, question) in enumerate(asked):
            answer = _answer(run, column, i, about, question)
            yield answer
            yield verdict(run.file, answer, column.correct[i], f"{column.correct_at}/{i}")
        yield _metric(run, column, [about.context_id for about, _ in asked])


def _asked(
    run: Run, source: File, passages: Sequence[schemas.Passage]
) -> list[tuple[Context, Question]]:
    """The questions in the order of the answers, each with its context."""
    pairs: list[tuple[Context, Question]] = []
    for ordinal, place in enumerate(shuffled(run, source, passages)):
        about, questions = context(source, passages[place], ordinal, "eval", pointer(place))
        pairs += [(about, question) for question in questions]
    if run.drawn:
        random.Random(SHUFFLE).shuffle(pairs)
        pairs = pairs[: run.n_questions]
    if len(pairs) != run.n_questions:
        raise run.file.broken(
            f"eval_questions is {run.n_questions}, but {source.name} gives {len(pairs)}"
        )
    return pairs


def _answer(run: Run, column: Column, i: int, about: Context, question: Question) -> Answer:
    student = run.student.policy
    model = None if column.method == "unadapted" else digest(run.file.sha256, column.method)
    return Answer(
        answer_id=digest(student, model, question.question_id, column.texts[i]),
        context_id=about.context_id,
        question_id=question.question_id,
        student=student,
        self_edit_id=None,
        adapter_id=model,  # one finetuned model for all: it has no row in `adapters`
        method=column.method,
        repeat=0,
        text=column.texts[i],
        n_tokens=None,
        **run.file.at(f"{column.texts_at}/{i}"),
    )


def _metric(run: Run, column: Column, contexts: Sequence[str]) -> Metric:
    """Accuracy over questions, as the paper has it; its interval resamples passages."""
    hits: dict[str, list[bool]] = {}
    for context_id, correct in zip(contexts, column.correct, strict=True):
        hits.setdefault(context_id, []).append(correct)
    means = [sum(marks) / len(marks) for marks in hits.values()]
    weights = [len(marks) for marks in hits.values()]
    value, low, high = bootstrap(means, RESAMPLES, 0, weights)
    about = run.writer if column.method == "self-edits" else run.student
    return Metric(
        policy=about.policy,
        round=about.round,
        dataset=f"squad_val-{run.n_articles}",
        regime="cpt",
        method=column.method,
        step=None,
        position=None,
        metric="accuracy",
        value=value,
        ci_low=low,
        ci_high=high,
        n=len(column.correct),
        n_questions=len(column.correct),
        n_failed=0,
        grader=labels.JUDGE,
        **run.file.at(column.correct_at),
    )
