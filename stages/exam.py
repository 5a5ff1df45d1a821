"""Asking a model questions and having its answers judged, for `score` and `eval`."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from stages.config import ScoreConfig
from stages.domains import Domain
from stages.engines import Completion, Engine, Request, tokens_of
from stages.grading import Grader, Item
from stages.identity import digest
from stages.records import Adapter, Answer, Context, Question, Record, Status, Verdict
from stages.training import Lora

_OF_ADAPTER = ("adapter_id", "self_edit_id", "method", "repeat", "sequence", "step")


@dataclass(frozen=True)
class Outcome:
    """One examination: its accuracy, or why there is none."""

    accuracy: float | None
    status: Status = "ok"
    reason: str | None = None


class Examined(NamedTuple):
    """The rows of one examination, and what it came to."""

    rows: Sequence[Answer | Verdict]
    outcome: Outcome


@dataclass(frozen=True)
class Examination:
    """Who is asked what: the student, or (with `adapter`) the student as adapted by `lora`."""

    context: Context
    questions: Sequence[Question]
    adapter: Adapter | None = None
    lora: Lora | None = None
    made_for: str | None = None  # another context, of a probe: the one that its rows are made for
    method: str = "unadapted"  # the student's, as is the step; an adapter has its own
    step: int | None = None

    @property
    def refused(self) -> Outcome | None:
        """What it comes to without being held: the status and reason of an adapter not `ok`."""
        if self.adapter is None or self.adapter.status == "ok":
            return None
        return Outcome(None, self.adapter.status, self.adapter.reason)


@dataclass(frozen=True)
class Examiner:
    """Everything needed to examine one student, adapted or not."""

    student: str
    engine: Engine
    domain: Domain
    grader: Grader
    config: ScoreConfig
    beside: Sequence[Grader] = ()  # whose verdicts are stored, too, and count for nothing here

    def examine(self, examinations: Sequence[Examination]) -> list[Examined]:
        """One greedy answer with its verdicts per question, and the outcomes; asked in one go."""
        held = [one for one in examinations if one.refused is None]
        views = range(self._views)
        requests = [
            self._request(e.context, q, v) for e in held for q in e.questions for v in views
        ]
        loras = [e.lora for e in held for _ in e.questions for _ in views]
        completions = iter(self.engine.complete(requests, loras))
        answered = [
            [
                (question, self._answer(question, e, list(islice(completions, self._views))))
                for question in e.questions
            ]
            for e in held
        ]
        verdicts = self._judged([pair for pairs in answered for pair in pairs])
        found = iter([_examined([a for _, a in pairs], verdicts) for pairs in answered])
        return [Examined([], one.refused) if one.refused else next(found) for one in examinations]

    def _judged(self, answered: Sequence[tuple[Question, Answer]]) -> dict[str, list[Verdict]]:
        """Answer id -> its verdicts, that of the grader first; none for a failed answer."""
        judged = [pair for pair in answered if pair[1].status == "ok"]
        graders = (self.grader, *self.beside)
        by_grader = [judge(grader, judged) for grader in graders]
        return {
            answer.answer_id: list(verdicts)
            for (_, answer), *verdicts in zip(judged, *by_grader, strict=True)
        }

    @property
    def _views(self) -> int:
        return self.domain.VIEWS if self.config.voting else 1

    def _request(self, context: Context, question: Question, view: int) -> Request:
        return Request(
            self.domain.ask(context, question, view),
            seed=0,
            max_tokens=self.config.answer_tokens,
            stop=self.domain.STOP,
            system=self.domain.ask_system(context, view),
        )

    def _answer(self, question: Question, one: Examination, said: Sequence[Completion]) -> Answer:
        texts = [self.domain.answer(c.text, view) for view, c in enumerate(said)]
        text = self.domain.vote(texts) if self.config.voting else texts[0]
        error = next((c.error for c in said if c.error is not None), None)
        told: dict[str, Any] = dict.fromkeys(_OF_ADAPTER)
        told |= {"method": one.method, "repeat": 0, "step": one.step}
        if one.adapter is not None:
            told = {name: getattr(one.adapter, name) for name in _OF_ADAPTER}
        return Answer(
            answer_id=digest(self.student, told["adapter_id"], question.question_id, text),
            context_id=one.made_for or question.context_id,
            question_id=question.question_id,
            student=self.student,
            text=text,
            n_tokens=tokens_of(said),
            status="failed" if error else "ok",
            reason=error,
            scope="probe" if one.made_for else "own",
            about_context_id=question.context_id if one.made_for else None,
            **told,
        )


def wearing(
    adapted: Iterable[tuple[Adapter, Lora | None]],
    contexts: Iterable[Context],
    questions: Mapping[str, Sequence[Question]],
) -> list[Examination]:
    """Each adapter, asked about its own context."""
    known = {context.context_id: context for context in contexts}
    about = [(str(row.context_id), row, lora) for row, lora in adapted]
    return [Examination(known[i], questions[i], row, lora) for i, row, lora in about]


def rows_of(examined: Iterable[Examined]) -> list[Record]:
    """The rows of several examinations, in order."""
    return [row for one in examined for row in one.rows]


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of accuracies; null when one of them is missing, or there is none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def mean_of(outcomes: Sequence[Outcome]) -> float | None:
    """The mean accuracy of examinations; null unless there are some and all of them worked."""
    return mean([outcome.accuracy for outcome in outcomes])


def judge(grader: Grader, answered: Sequence[tuple[Question, Answer]]) -> list[Verdict]:
    """What a grader says of answers to these questions, in order."""
    items = [Item(question.question, question.answers, a.text) for question, a in answered]
    return [
        Verdict(
            answer_id=answer.answer_id,
            context_id=answer.context_id,
            grader=grader.name,
            correct=judged.correct,
            score=judged.score,
            reason=judged.reason,
        )
        for (_, answer), judged in zip(answered, grader.grade_all(items), strict=True)
    ]


def outcome_of(verdicts: Sequence[Verdict]) -> Outcome:
    """The share of correct verdicts; failed when there are none or one could not be judged."""
    if not verdicts:
        return Outcome(None, "failed", "the context has no questions")
    if any(verdict.correct is None for verdict in verdicts):
        return Outcome(None, "failed", "an answer could not be judged")
    return Outcome(sum(bool(verdict.correct) for verdict in verdicts) / len(verdicts))


def _examined(answers: Sequence[Answer], verdicts: Mapping[str, Sequence[Verdict]]) -> Examined:
    """The rows of one examination; what it came to is the first verdict on each answer."""
    rows: list[Answer | Verdict] = []
    for answer in answers:
        rows += [answer, *verdicts.get(answer.answer_id, ())]
    error = next((answer.reason for answer in answers if answer.status != "ok"), None)
    if error is not None:
        return Examined(rows, Outcome(None, "failed", error))
    return Examined(rows, outcome_of([verdicts[answer.answer_id][0] for answer in answers]))
