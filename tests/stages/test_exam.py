"""Asking questions and having the answers judged: answers, verdicts, and the outcome."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.config import ScoreConfig
from stages.domains import knowledge
from stages.engines import Completion, Request
from stages.engines.scripted import ScriptedEngine
from stages.errors import RowFailure
from stages.exam import Examination, Examiner, Outcome, rows_of
from stages.grading import GRADERS, Grader, Judgement, ScoreGrader
from stages.records import Adapter, Answer, Context, Question, Verdict


def one(
    examiner: Examiner, context: Context, asked: Sequence[Question], adapter: Adapter | None = None
) -> tuple[list[Answer | Verdict], Outcome]:
    """The rows of one examination, and its outcome."""
    ((rows, outcome),) = examiner.examine([Examination(context, asked, adapter)])
    return list(rows), outcome


def examiner(script: Callable[[Request], str], grader: Grader = GRADERS["exact"]) -> Examiner:
    return Examiner(
        student="model-1",
        engine=ScriptedEngine(script),
        domain=knowledge,
        grader=grader,
        config=ScoreConfig(answer_tokens=5),
    )


def adapter(context: Context, **columns: Any) -> Adapter:
    defaults = {
        "adapter_id": "worn",
        "self_edit_id": "edit",
        "context_id": context.context_id,
        "method": "self-edits",
        "student": "model-1",
        "repeat": 2,
        "seed": 0,
        "status": "ok",
        "reason": None,
        "hyperparameters": "{}",
        "n_sequences": 2,
        "n_tokens": 9,
        "n_steps": 3,
        "first_loss": 1.0,
        "last_loss": 0.5,
        "seconds": 0.1,
    }
    return Adapter(**defaults | columns)


@pytest.fixture(scope="module")
def context(contexts: dict[str, Context]) -> Context:
    return next(iter(contexts.values()))


@pytest.fixture(scope="module")
def asked(context: Context, questions: dict[str, list[Question]]) -> list[Question]:
    return questions[context.context_id]


def test_the_outcome_is_the_share_of_correct_answers(
    context: Context, asked: Sequence[Question]
) -> None:
    rows, outcome = one(examiner(lambda r: "1871\nnext"), context, asked)
    assert outcome == Outcome(0.5)
    answers, verdicts = rows[::2], rows[1::2]
    assert [(a.text, a.method, a.adapter_id, a.self_edit_id) for a in answers] == [
        ("1871", "unadapted", None, None)
    ] * 2
    assert [a.question_id for a in answers] == [q.question_id for q in asked]
    assert [v.correct for v in verdicts] == [True, False]
    assert [v.answer_id for v in verdicts] == [a.answer_id for a in answers]
    assert {(v.grader, v.context_id) for v in verdicts} == {("exact", context.context_id)}


def test_questions_are_asked_greedily_in_the_template_and_stop_at_a_line_end(
    context: Context, asked: Sequence[Question]
) -> None:
    seen: list[Request] = []
    one(examiner(lambda r: seen.append(r) or "x"), context, asked)
    assert [r.prompt for r in seen] == [knowledge.ask(context, q) for q in asked]
    assert {(r.temperature, r.max_tokens, r.stop) for r in seen} == {(0.0, 5, "\n")}
    assert not any(context.text in r.prompt for r in seen)


def test_an_answer_of_an_adapter_carries_its_ids(
    context: Context, asked: Sequence[Question]
) -> None:
    rows, _ = one(examiner(lambda r: "1871"), context, asked, adapter(context))
    answer = rows[0]
    assert isinstance(answer, Answer)
    assert (answer.adapter_id, answer.self_edit_id, answer.repeat) == ("worn", "edit", 2)
    assert answer.method == "self-edits"


def test_no_two_answers_share_an_id(context: Context, asked: Sequence[Question]) -> None:
    worn = [None, *(adapter(context, adapter_id=name) for name in "ab")]
    ids = [
        row.answer_id
        for a in worn
        for row in one(examiner(lambda r: "same"), context, asked, a)[0]
        if isinstance(row, Answer)
    ]
    assert len(set(ids)) == 6


@pytest.mark.parametrize("status", ["invalid", "failed"])
def test_an_adapter_that_is_not_ok_is_not_examined(
    context: Context, asked: Sequence[Question], status: str
) -> None:
    bad = adapter(context, status=status, reason="because")
    rows, outcome = one(examiner(lambda r: "1871"), context, asked, bad)
    assert (rows, outcome) == ([], Outcome(None, status, "because"))


def test_one_failed_answer_fails_the_examination_and_is_never_wrong(
    context: Context, asked: Sequence[Question]
) -> None:
    def script(request: Request) -> str:
        if "high" in request.prompt:
            raise RowFailure("the server is down")
        return "1871"

    rows, outcome = one(examiner(script), context, asked)
    assert outcome == Outcome(None, "failed", "the server is down")
    answers = [row for row in rows if isinstance(row, Answer)]
    assert {(a.status, a.reason) for a in answers} == {
        ("ok", None),
        ("failed", "the server is down"),
    }
    judged = {row.answer_id for row in rows if isinstance(row, Verdict)}
    assert judged == {a.answer_id for a in answers if a.status == "ok"}


def test_a_missing_verdict_fails_the_examination_but_keeps_the_answers(
    context: Context, asked: Sequence[Question]
) -> None:
    class Undecided(ScoreGrader):
        def grade(self, question: str, golds: Sequence[str], answer: str) -> Judgement:
            return Judgement("high" not in question or None, None, "no clear verdict")

    grader = Undecided(name="undecided", score=lambda *_: 0.0)
    rows, outcome = one(examiner(lambda r: "x", grader), context, asked)
    assert outcome == Outcome(None, "failed", "an answer could not be judged")
    assert [row.correct for row in rows if isinstance(row, Verdict)] == [True, None]


def test_a_context_without_questions_has_no_accuracy(context: Context) -> None:
    rows, outcome = one(examiner(lambda r: "x"), context, [])
    assert (rows, outcome.accuracy, outcome.status) == ([], None, "failed")


def test_answers_about_a_probe_say_what_they_were_made_for(
    contexts: dict[str, Context], questions: dict[str, list[Question]]
) -> None:
    own, other = contexts.values()
    asked, worn = questions[other.context_id], adapter(own, sequence=1, step=3)
    held = [
        Examination(other, asked, worn, made_for=own.context_id),
        Examination(other, asked, worn),
        Examination(other, asked, step=0),
    ]
    rows = [examined.rows[0] for examined in examiner(lambda r: "1902").examine(held)]
    assert [
        (r.context_id, r.scope, r.about_context_id, r.method, r.sequence, r.step)
        for r in rows
        if isinstance(r, Answer)
    ] == [
        (own.context_id, "probe", other.context_id, "self-edits", 1, 3),
        (other.context_id, "own", None, "self-edits", 1, 3),
        (other.context_id, "own", None, "unadapted", None, 0),
    ]
    verdicts = examiner(lambda r: "1902").examine(held[:1])[0].rows[1::2]
    assert [v.context_id for v in verdicts] == [own.context_id] * 2


def test_examinations_are_held_together_and_each_has_its_own_outcome(
    contexts: dict[str, Context], questions: dict[str, list[Question]]
) -> None:
    first, second = contexts.values()
    held = [
        Examination(second, questions[second.context_id]),
        Examination(first, questions[first.context_id], adapter(first, status="failed")),
        Examination(first, questions[first.context_id], adapter(first)),
    ]
    batches: list[int] = []

    class Counting(ScriptedEngine):
        def complete(self, requests: Sequence[Request], loras: Any = ()) -> list[Completion]:
            batches.append(len(requests))
            return super().complete(requests, loras)

    asking = replace(examiner(str), engine=Counting(lambda r: "1871"))
    examined = asking.examine(held)
    assert batches == [4]
    assert [one.outcome.accuracy for one in examined] == [0.0, None, 0.5]
    assert [len(one.rows) for one in examined] == [4, 0, 4]
    answers = [row for row in rows_of(examined) if isinstance(row, Answer)]
    assert [a.context_id for a in answers] == [second.context_id] * 2 + [first.context_id] * 2
    assert [a.adapter_id for a in answers] == [None, None, "worn", "worn"]
