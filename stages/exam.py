"""Asking a model the questions of a context and having its answers judged.

What `score` and `eval` share; decides nothing about rewards.
"""

import statistics
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

from stages.config import ScoreConfig
from stages.domains import Domain
from stages.engines import Completion, Engine, Request, tokens_of
from stages.grading import Grader, Item
from stages.identity import digest
from stages.records import Adapter, Answer, Context, Question, Status, Verdict
from stages.training import Lora

R = TypeVar("R")
T = TypeVar("T")
PROBE = "probe"  # the method of answers about contexts that no self-edit is about


@dataclass(frozen=True)
class Outcome:
    """One examination: its accuracy, or why there is none."""

    accuracy: float | None
    status: Status = "ok"
    reason: str | None = None


@dataclass(frozen=True)
class Examination:
    """Who is asked what: the student, or (with `adapter`) the student as adapted by `lora`.

    `method` is what its answers stand for, where the adapter does not say it.
    """

    context: Context
    questions: Sequence[Question]
    adapter: Adapter | None = None
    lora: Lora | None = None
    method: str | None = None


@dataclass(frozen=True)
class Examiner:
    """Everything needed to examine one student, adapted or not."""

    student: str
    engine: Engine
    domain: Domain
    grader: Grader
    config: ScoreConfig
    beside: Sequence[Grader] = ()  # whose verdicts are stored, too, and count for nothing here

    def examine(
        self, examinations: Sequence[Examination]
    ) -> Generator[Answer | Verdict, None, list[Outcome]]:
        """Yields an answer (greedy) and its verdicts per question; returns the outcomes in order.

        All are asked together; with voting, each question in every way the domain has. Then all are
        judged together. An adapter that is not `ok` is not examined: its status and reason are the
        outcome.
        """
        held = [e for e in examinations if e.adapter is None or e.adapter.status == "ok"]
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
        given = iter(answered)
        outcomes = []
        for one in examinations:
            if one.adapter is not None and one.adapter.status != "ok":
                outcomes.append(Outcome(None, one.adapter.status, one.adapter.reason))
            else:
                outcomes.append((yield from _outcome([a for _, a in next(given)], verdicts)))
        return outcomes

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
        worn = one.adapter.adapter_id if one.adapter else None
        return Answer(
            answer_id=digest(self.student, worn, question.question_id, text),
            context_id=question.context_id,
            question_id=question.question_id,
            student=self.student,
            self_edit_id=one.adapter.self_edit_id if one.adapter else None,
            adapter_id=worn,
            method=one.method or method_of(one.adapter),
            repeat=one.adapter.repeat if one.adapter else 0,
            text=text,
            n_tokens=tokens_of(said),
            status="failed" if error else "ok",
            reason=error,
        )


def collected(examining: Generator[R, None, T]) -> tuple[list[R], T]:
    """All rows that an examination yields, and what it returns."""
    rows: list[R] = []
    while True:
        try:
            rows.append(next(examining))
        except StopIteration as done:
            return rows, done.value


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of accuracies; null when one of them is missing, or there is none."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known and len(known) == len(values) else None


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


def method_of(adapter: Adapter | None) -> Literal["unadapted", "passage-only", "self-edits"]:
    """What an answer stands for in the paper's tables."""
    if adapter is None:
        return "unadapted"
    return "self-edits" if adapter.self_edit_id else "passage-only"


def outcome_of(verdicts: Sequence[Verdict]) -> Outcome:
    """The share of correct verdicts; failed when there are none or one could not be judged."""
    if not verdicts:
        return Outcome(None, "failed", "the context has no questions")
    if any(verdict.correct is None for verdict in verdicts):
        return Outcome(None, "failed", "an answer could not be judged")
    return Outcome(sum(bool(verdict.correct) for verdict in verdicts) / len(verdicts))


def _outcome(
    answers: Sequence[Answer], verdicts: Mapping[str, Sequence[Verdict]]
) -> Generator[Answer | Verdict, None, Outcome]:
    """Yields the rows of one examination; what it came to is the first verdict on each answer."""
    for answer in answers:
        yield answer
        yield from verdicts.get(answer.answer_id, ())
    error = next((answer.reason for answer in answers if answer.status != "ok"), None)
    if error is not None:
        return Outcome(None, "failed", error)
    return outcome_of([verdicts[answer.answer_id][0] for answer in answers])
