"""`results/cpt/**`: one model finetuned on many passages at once (paper Table 2, n=200 and 2067).

The files hold answers without their questions. The first release asked all questions of its
passages in order; the second drew 500 of them, and the passages themselves are the validation set
shuffled with seed 42. Nothing in a file says that its answers were joined to the right questions,
so all that can be checked of the join is checked: the passages against the dataset that the run
names, where that is here; the number of questions; and that the answers which the judge took for
right hold the gold answers.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import PurePosixPath

from seal_cli.importers.official import experiment, labels, schemas
from seal_cli.importers.official.experiment import Experiment
from seal_cli.importers.official.passages import context
from seal_cli.importers.official.query_server import verdict
from seal_cli.importers.official.release import File, pointer
from stages.identity import canonical, digest
from stages.interval import interval
from stages.records import Adapter, Answer, Context, Metric, Question, Record

SHUFFLE = 42  # the release's seed, for passages and for questions
# Of the answers that the judge took for right 53 to 68 % hold the gold answer word for word in the
# released files; joined to other questions, at most 0.5 %.
ENOUGH, HELD = 20, 0.25

Asked = Sequence[tuple[Context, Question]]


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
    experiment: Experiment
    n_articles: int
    n_questions: int
    seeds: Sequence[int]  # the questions were drawn with, likeliest first; none: all were asked
    trained: str | None  # how, as the file has it; null for a model that was not
    answers_at: str
    answers: schemas.PerQuestion

    def columns(self) -> Iterator[Column]:
        """The unadapted model's answers, where it was asked, and the finetuned one's."""
        methods = ("baseline", experiment.UNADAPTED), ("adapter", self.experiment.method)
        for name, method in methods:
            texts = getattr(self.answers, f"{name}_texts")
            correct = getattr(self.answers, f"{name}_correct")
            if texts is not None and correct is not None:
                at = [f"{self.answers_at}/{name}_{column}" for column in ("texts", "correct")]
                yield Column(method, texts, correct, *at)


@dataclass(frozen=True)
class Validation:
    """The passages that the questions are from, in the order in which the runs took them."""

    file: File
    data: Sequence[schemas.Passage]
    shuffled: bool = False  # the validation set is not yet, a dataset that was made of it is

    @cached_property
    def passages(self) -> list[tuple[Context, list[Question]]]:
        """All with their questions. Raises InputError for one that is twice: it moves the rest."""
        places = list(range(len(self.data)))
        if not self.shuffled:
            random.Random(SHUFFLE).shuffle(places)
        found = []
        first: dict[str, int] = {}
        for ordinal, place in enumerate(places):
            pair = context(self.file, self.data[place], ordinal, "eval", pointer(place))
            found.append(pair)
            before = first.setdefault(pair[0].context_id, place)
            if before != place:
                places_ = " and ".join(pointer(p) for p in sorted((before, place)))
                raise self.file.broken("the same passage twice, so no order is known", places_)
        return found


def run_of(file: File, data: schemas.CptRunV1 | schemas.CptRunV2) -> Run:
    """`results/cpt/cpt_*.json` of the first layout or `results/cpt/{200,2067}/*.json`."""
    found = _experiment(file, data)
    answers: schemas.PerQuestion
    if isinstance(data, schemas.CptRunV1):
        place, answers, seeds = "server_reply", data.server_reply, []
        trained = canonical({"full": False, **data.lora_params})
    else:
        place, answers = "per_question", data.per_question
        trained = canonical({"full": True, **data.args})
        # Every file records a seed of 43; of the released ones only the generative adapter's
        # questions were drawn with it.
        noted = data.args.get("seed")
        seeds = list(dict.fromkeys([SHUFFLE, noted] if isinstance(noted, int) else [SHUFFLE]))
        if found.method == experiment.ADAPTER:
            seeds.reverse()
    return Run(
        file=file,
        dataset=data.dataset,
        experiment=found,
        n_articles=data.n_articles,
        n_questions=data.eval_questions,
        seeds=seeds,
        trained=None if found.method == experiment.ADAPTER else trained,
        answers_at=pointer(place),
        answers=answers,
    )


def _experiment(file: File, data: schemas.CptRunV1 | schemas.CptRunV2) -> Experiment:
    """What was learned: the passages alone, self-edits, EntiGraph's texts, or nothing."""
    own = labels.stem_of(file.name)
    model, folder = "base", ""
    if isinstance(data, schemas.CptRunV2):
        model, folder = data.model, str(data.args.get("output_dir", ""))
    prompt = labels.prompt_name(data.dataset, None)
    writer = labels.writer(data.dataset, prompt, file.inside)
    student = labels.writer(model, labels.PLAIN, file.inside)
    texts = max(data.k_completions or 0, (data.train_sequences or 0) / data.n_articles - 1)
    method = experiment.entigraph(data.dataset, own, texts) or experiment.EDITS
    if experiment.adapts_at_once(own, data.dataset, model, folder):
        method, student = experiment.ADAPTER, experiment.mistral(model)
    elif data.k_completions == 0 or "naive" in data.dataset:
        method = experiment.PASSAGES
    learned = prompt if method == experiment.EDITS else None
    return Experiment(student, writer, method, learned, f"squad_val-{data.n_articles}")


def check_order(
    run: Run, validation: Validation, named: tuple[File, Sequence[schemas.Passage]] | None
) -> None:
    """Raise InputError when the dataset that the run names has other passages than we join."""
    if run.n_articles > len(validation.passages):
        why = f"{run.n_articles} passages, but {validation.file.name} has"
        raise run.file.broken(f"{why} {len(validation.passages)}", pointer("n_articles"))
    if named is None or named[0].sha256 == validation.file.sha256:
        return
    file, data = named
    if len(data) < run.n_articles:
        why = f"{file.name}, its dataset, has {len(data)} passages and not {run.n_articles}"
        raise run.file.broken(why, pointer("n_articles"))
    # It may have more passages than were learned: naive_val has 250.
    for i, (ours, _) in enumerate(validation.passages[: run.n_articles]):
        theirs, _ = context(file, data[i], i, "eval", pointer(i))
        if ours.context_id != theirs.context_id:
            why = f"{file.name} has another passage at {pointer(i)} than {validation.file.name}"
            raise run.file.broken(f"{why} gives", pointer("dataset"))


def is_named(file: File, dataset: str) -> bool:
    """Whether a dataset is this file: the same path below `data/`, as names repeat in folders."""
    wanted, own = _below_data(dataset), _below_data(file.path.resolve().as_posix())
    return wanted is not None and wanted == own


def _below_data(path: str) -> tuple[str, ...] | None:
    parts = PurePosixPath(path).parts
    places = [place for place, part in enumerate(parts[:-1]) if part == "data"]
    return parts[places[-1] :] if places else None


def asked(run: Run, validation: Validation) -> Asked:
    """The questions in the order of the answers, each with its context.

    Raises InputError when there are not as many, or the answers are to other questions.
    """
    passages = validation.passages[: run.n_articles]
    every = [(about, question) for about, questions in passages for question in questions]
    for seed in run.seeds or (None,):
        pairs = list(every)
        if seed is not None:
            random.Random(seed).shuffle(pairs)
            pairs = pairs[: run.n_questions]
        if len(pairs) != run.n_questions:
            raise run.file.broken(
                f"eval_questions is {run.n_questions}, but {validation.file.name} gives "
                f"{len(pairs)}"
            )
        for column in run.columns():
            if len(column.texts) != len(pairs):
                why = f"{len(column.texts)} entries for {len(pairs)} questions"
                raise run.file.broken(why, column.texts_at)
        if _fit(run, pairs):
            return pairs
    raise run.file.broken("its answers are to other questions than those that its passages give")


def _fit(run: Run, pairs: Asked) -> bool:
    """Whether the right answers hold the gold answers, as far as there are enough to tell."""
    held = [
        _words(question.answers[0]) in _words(text)
        for column in run.columns()
        for (_, question), text, correct in zip(pairs, column.texts, column.correct, strict=True)
        if correct
    ]
    return len(held) < ENOUGH or sum(held) > HELD * len(held)


def _words(text: str) -> str:
    return " ".join(["", *re.findall(r"[^\W_]+", text.lower()), ""])


def rows(run: Run, asked: Asked) -> Iterator[Record]:
    """The contexts and questions that were asked, the answers, their verdicts, the metrics."""
    yield from (replace(row, **run.file.at("")) for row in run.experiment.models)
    yield from {about.context_id: about for about, _ in asked}.values()
    yield from (question for _, question in asked)
    if run.trained is not None:
        yield _adapter(run)
    scores: dict[str, Scores] = {}
    for column in run.columns():
        for i, (about, question) in enumerate(asked):
            answer = _answer(run, column, i, about, question)
            yield answer
            yield verdict(run.file, answer, column.correct[i], f"{column.correct_at}/{i}")
        scores[column.method] = _scores(asked, column)
        yield _metric(run, column, "accuracy", scores[column.method])
        before = scores.get(experiment.UNADAPTED)
        if before is not None and column.method != experiment.UNADAPTED:
            gains = [
                (x - y, n) for (x, n), (y, _) in zip(scores[column.method], before, strict=True)
            ]
            yield _metric(run, column, "gain", gains)


Scores = Sequence[tuple[float, int]]  # by passage: its accuracy, and its number of questions


def _scores(asked: Asked, column: Column) -> Scores:
    hits: dict[str, list[bool]] = {}
    for (about, _), correct in zip(asked, column.correct, strict=True):
        hits.setdefault(about.context_id, []).append(correct)
    return [(sum(marks) / len(marks), len(marks)) for marks in hits.values()]


def _model(run: Run) -> str:
    return digest(run.file.sha256, run.experiment.method)


def _adapter(run: Run) -> Adapter:
    assert run.trained is not None
    return Adapter(
        adapter_id=_model(run),
        self_edit_id=None,
        context_id=None,
        method=run.experiment.method,
        student=run.experiment.student.policy,
        repeat=0,
        status="ok",
        hyperparameters=run.trained,
        **experiment.UNKNOWN,
        **run.file.at(""),
    )


def _answer(run: Run, column: Column, i: int, about: Context, question: Question) -> Answer:
    student = run.experiment.student.policy
    model = None if column.method == experiment.UNADAPTED else _model(run)
    return Answer(
        answer_id=digest(student, model, question.question_id, column.texts[i]),
        context_id=about.context_id,
        question_id=question.question_id,
        student=student,
        self_edit_id=None,
        adapter_id=model,
        method=column.method,
        repeat=0,
        text=column.texts[i],
        n_tokens=None,
        **run.file.at(f"{column.texts_at}/{i}"),
    )


def _metric(run: Run, column: Column, name: str, scores: Scores) -> Metric:
    """A mean over questions, as the paper has it; its interval is over passages."""
    values, weights = [value for value, _ in scores], [n for _, n in scores]
    found = interval(values, weights, share=name == "accuracy")
    return run.experiment.metric(
        column.method,
        name,
        found,
        regime="cpt",
        value=found.mean,
        n=len(column.correct),
        n_questions=len(column.correct),
        n_failed=0,
        grader=labels.JUDGE,
        **run.file.at(column.correct_at),
    )
