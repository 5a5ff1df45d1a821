"""Asking a model the questions of a context and having its answers judged.

What `score` and `eval` share; decides nothing about rewards.
"""

import itertools
from collections.abc import Callable, Generator, Sequence
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
    """Who is asked what: the student, or (with `adapter`) the student as adapted by `lora`."""

    context: Context
    questions: Sequence[Question]
    adapter: Adapter | None = None
    lora: Lora | None = None


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

        All are asked together. An adapter that is not `ok` is not examined: its status and reason
        are the outcome.
        """
        held = [e for e in examinations if e.adapter is None or e.adapter.status == "ok"]
        requests = [self._request(e.context, q) for e in held for q in e.questions]
        loras = [e.lora for e in held for _ in e.questions]
        completions = iter(self.engine.complete(requests, loras))
        outcomes = []
        for one in examinations:
            if one.adapter is not None and one.adapter.status != "ok":
                outcomes.append(Outcome(None, one.adapter.status, one.adapter.reason))
            else:
                said = list(itertools.islice(completions, len(one.questions)))
                outcomes.append((yield from self._judged(one, said)))
        return outcomes

    def _judged(
        self, one: Examination, completions: Sequence[Completion]
    ) -> Generator[Answer | Verdict, None, Outcome]:
        verdicts = []
        for question, completion in zip(one.questions, completions, strict=True):
            answer = self._answer(question, one.adapter, completion)
            yield answer
            if answer.status == "ok":
                verdicts.append(judge(self.grader, question, answer))
                yield verdicts[-1]
        error = next((c.error for c in completions if c.error is not None), None)
        return Outcome(None, "failed", error) if error else outcome_of(verdicts)

    def _request(self, context: Context, question: Question) -> Request:
        prompt = self.render(self.domain.ask(context, question))
        return Request(prompt, seed=0, max_tokens=self.config.answer_tokens, stop="\n")

    def _answer(
        self, question: Question, adapter: Adapter | None, completion: Completion
    ) -> Answer:
        text = self.domain.answer(completion.text)
        worn = adapter.adapter_id if adapter else None
        return Answer(
            answer_id=digest(self.student, worn, question.question_id, text),
            context_id=question.context_id,
            question_id=question.question_id,
            student=self.student,
            self_edit_id=adapter.self_edit_id if adapter else None,
            adapter_id=worn,
            method=method_of(adapter),
            repeat=adapter.repeat if adapter else 0,
            text=text,
            n_tokens=completion.n_tokens,
            status="failed" if completion.error else "ok",
            reason=completion.error,
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
