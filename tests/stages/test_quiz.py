"""Self-written questions: which are kept, and what is said of the others."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from stages.config import QuizConfig
from stages.domains import questions
from stages.engines import Completion, Request
from stages.engines.scripted import ScriptedEngine
from stages.errors import RowFailure
from stages.grading import GRADERS
from stages.quiz import Quizmaster, quiz
from stages.records import Context, Draft, Policy, Question

# "The harbour of Ost opened in 1871. Its light is 31 m high."
WRITTEN = """Question 1: When did it open?
Answer: 1871
Question 2: How high is the light?
Answer: 31 m
Question 3: Who built it?
Answer: Ada Jung
Question 4: when did it open
Answer: 1871.
Question 5: Which harbour of Ost is this?
Answer: Ost
Question 6: What is it?
Question 7: What is 31 m high?
Answer: light
Question 8: What opened in 1871?
Answer: harbour"""
IN_VIEW = {"When did it open?": "1871", "How high is the light?": "31 m",
           "What is 31 m high?": "a tower", "What opened in 1871?": "the harbour"}  # fmt: skip
WITHOUT = {"How high is the light?": "31 m"}


class Model:
    """Writes `text`; answers with the passage in view and without, by the last question asked."""

    def __init__(self, text: str = WRITTEN, broken: str = "") -> None:
        self.text, self.broken = text, broken
        self.batches: list[int] = []

    def __call__(self, request: Request) -> str:
        if not request.prompt.endswith("Answer:"):
            return self.text
        question = request.prompt.rsplit(": ", 1)[1].removesuffix("\nAnswer:")
        if question == self.broken:
            raise RowFailure("the server is down")
        known = IN_VIEW if "opened in 1871" in request.prompt.split(question)[0] else WITHOUT
        return known.get(question, "no idea")


@pytest.fixture
def run(contexts: dict[str, Context], policy: Policy) -> Callable[..., list[Any]]:
    """`run(model, **settings)`: what the quiz gives on the first passage."""

    def go(model: Model, everybody: bool = False, **settings: Any) -> list[Any]:
        config = QuizConfig(samples=settings.pop("samples", 1), grader="exact", **settings)
        engine = ScriptedEngine(model)
        master = Quizmaster(
            policy, engine, GRADERS["exact"], questions.template(config.prompt), config
        )
        asked = list(contexts.values()) if everybody else list(contexts.values())[:1]
        return list(quiz(asked, master=master))

    return go


def drafts(rows: Sequence[Any]) -> list[Draft]:
    return [row for row in rows if isinstance(row, Draft)]


def kept(rows: Sequence[Any]) -> list[Question]:
    return [row for row in rows if isinstance(row, Question)]


def test_kept_is_what_is_right_in_view_and_wrong_without(run: Any) -> None:
    rows = run(Model())
    assert [(q.question, q.answers, q.origin, q.ordinal) for q in kept(rows)] == [
        ("When did it open?", ("1871",), "self", 0),
        ("What opened in 1871?", ("harbour",), "self", 1),
    ]


def test_every_other_question_says_why(run: Any) -> None:
    found = [(d.ordinal, d.status, d.kept, d.reason) for d in drafts(run(Model()))]
    assert found == [
        (0, "ok", True, None),
        (1, "ok", False, "answered right without the passage"),
        (2, "invalid", False, "the answer does not stand in the passage"),
        (3, "ok", False, "asked before"),
        (4, "invalid", False, "the question gives its answer away"),
        (5, "invalid", False, "no answer"),
        (6, "invalid", False, "answered wrong with the passage in view"),
        (7, "ok", True, None),
    ]


def test_answers_stand_on_the_drafts_that_were_asked(run: Any) -> None:
    first, second, third = drafts(run(Model()))[:3]
    assert (first.open_book, first.open_book_correct) == ("1871", True)
    assert (first.closed_book, first.closed_book_correct) == ("no idea", False)
    assert second.closed_book_correct
    assert (third.open_book, third.open_book_correct, third.closed_book) == (None, None, None)


def test_kept_questions_have_the_ids_of_their_drafts(run: Any) -> None:
    rows = run(Model(), everybody=True)
    ids = [draft.question_id for draft in drafts(rows)]
    assert len(set(ids)) == len(ids)
    assert {q.question_id for q in kept(rows)} == {d.question_id for d in drafts(rows) if d.kept}


def test_a_context_without_good_questions_stays(run: Any) -> None:
    rows = run(Model(), everybody=True)  # the second harbour opened in 1902 and is 27 m high
    assert [type(row) for row in rows].count(Context) == 2
    assert {q.context_id for q in kept(rows)} == {rows[0].context_id}
    assert Counter(d.context_id for d in drafts(rows)).total() == 16


def test_no_more_are_kept_than_were_asked_for(run: Any) -> None:
    rows = run(Model(), questions=1)
    assert [q.question for q in kept(rows)] == ["When did it open?"]
    assert drafts(rows)[7].reason == "more than were asked for"


def test_samples_repeat_no_question(run: Any) -> None:
    rows = run(Model(), samples=2)
    assert len(kept(rows)) == 2
    again = [d for d in drafts(rows) if d.sample == 1]
    assert [d.reason for d in again if d.ordinal in (0, 7)] == ["asked before"] * 2
    assert len({d.seed for d in drafts(rows)}) == 2


def test_a_text_without_questions_is_an_invalid_draft(run: Any) -> None:
    (draft,) = drafts(run(Model("I would rather not.")))
    assert (draft.status, draft.reason) == ("invalid", "no question in the text")
    assert draft.text == "I would rather not."


def test_an_answer_that_failed_is_a_failed_draft_and_harms_no_other(run: Any) -> None:
    rows = run(Model(broken="When did it open?"))
    assert (drafts(rows)[0].status, drafts(rows)[0].reason) == ("failed", "the server is down")
    assert [q.question for q in kept(rows)] == ["What opened in 1871?"]


def test_a_text_that_failed_is_a_failed_draft(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ScriptedEngine, "_one", lambda self, request: Completion("", 0, None, "out of memory")
    )
    (draft,) = drafts(run(Model()))
    assert (draft.status, draft.reason) == ("failed", "out of memory")


def test_control_characters_are_invalid(run: Any) -> None:
    (draft,) = drafts(run(Model("Question 1: When \x1b[2J?\nAnswer: 1871")))
    assert (draft.status, draft.reason) == ("invalid", "control characters in the text")
