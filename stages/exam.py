"""Asking a model the questions of a context and having its answers judged.

What `score` and `eval` share; decides nothing about rewards.
"""

import itertools
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stages.config import ScoreConfig
from stages.domains import Domain
from stages.engines import Completion, Engine, Request
from stages.grading import Grader
from stages.identity import digest
from stages.lora import Lora
from stages.records import Adapter, Answer, Context, Question, Status, Verdict


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
    render: Callable[[str], str]
    config: ScoreConfig

    def examine(
        self, examinations: Sequence[Examination]
    ) -> Generator[Answer | Verdict, None, list[Outcome]]:
        """Yields an answer (greedy) and its verdict per question; returns the outcomes in order.

        All are asked together; with voting, each question in every way the domain has. An adapter
        that is not `ok` is not examined: its status and reason are the outcome.
        """
        held = [e for e in examinations if e.adapter is None or e.adapter.status == "ok"]
        views = range(self._views)
        requests = [
            self._request(e.context, q, v) for e in held for q in e.questions for v in views
        ]
        loras = [e.lora for e in held for _ in e.questions for _ in views]
        completions = iter(self.engine.complete(requests, loras))
        outcomes = []
        for one in examinations:
            if one.adapter is not None and one.adapter.status != "ok":
                outcomes.append(Outcome(None, one.adapter.status, one.adapter.reason))
            else:
                outcomes.append((yield from self._judged(one, completions)))
        return outcomes

    @property
    def _views(self) -> int:
        return self.domain.VIEWS if self.config.voting else 1

    def _judged(
        self, one: Examination, completions: Iterator[Completion]
    ) -> Generator[Answer | Verdict, None, Outcome]:
        verdicts, error = [], None
        for question in one.questions:
            answer = self._answer(question, one, list(itertools.islice(completions, self._views)))
            yield answer
            error = error or answer.reason
            if answer.status == "ok":
                verdicts.append(judge(self.grader, question, answer))
                yield verdicts[-1]
        return Outcome(None, "failed", error) if error else outcome_of(verdicts)

    def _request(self, context: Context, question: Question, view: int) -> Request:
        prompt = self.render(self.domain.ask(context, question, view))
        return Request(prompt, seed=0, max_tokens=self.config.answer_tokens, stop=self.domain.STOP)

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
            n_tokens=sum(c.n_tokens for c in said),
            status="failed" if error else "ok",
            reason=error,
        )


def judge(grader: Grader, question: Question, answer: Answer) -> Verdict:
    """What a grader says of one answer."""
    judged = grader.grade(question.question, question.answers, answer.text)
    return Verdict(
        answer_id=answer.answer_id,
        context_id=answer.context_id,
        grader=grader.name,
        correct=judged.correct,
        score=judged.score,
        reason=judged.reason,
    )


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
