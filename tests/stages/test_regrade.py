"""Judged again: the same answers, other verdicts, the rules of score and eval on top of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.grading import GRADERS, Grader, Judgement, ScoreGrader
from stages.records import Adapter, Answer, Context, Metric, Question, Reward, Verdict
from stages.regrade import judged, metrics, rewards

# One context, two questions with the golds "1871" and "31 m".
RIGHT, WRONG = ["in 1871", "31 m"], ["in 1902", "31 m"]


@pytest.fixture
def asked(world: list[tuple[Context, list[Question]]]) -> list[Question]:
    return world[0][1]


@pytest.fixture
def answers(asked: list[Question]) -> Callable[..., list[Answer]]:
    """`answers(edit, adapter, texts)`: one examination; nulls for the unadapted student."""

    def make(
        edit: str | None, adapter: str | None, texts: Sequence[str | None], repeat: int = 0
    ) -> list[Answer]:
        method = "self-edits" if edit else "passage-only" if adapter else "unadapted"
        return [
            Answer(
                answer_id=f"{edit} {adapter} {repeat} {i}",
                context_id=question.context_id,
                question_id=question.question_id,
                student="s",
                self_edit_id=edit,
                adapter_id=adapter,
                method=method,
                repeat=repeat,
                text=text or "",
                n_tokens=1,
                status="ok" if text is not None else "failed",
                reason=None if text is not None else "the server is down",
            )
            for i, (question, text) in enumerate(zip(asked, texts, strict=False))
        ]

    return make


@pytest.fixture
def stored(asked: list[Question], reward: Callable[..., Reward]) -> Callable[..., Reward]:
    """`stored(name, value, **columns)`: a reward about the context, from the grader `exact`."""

    def make(name: str, value: float | None, **columns: Any) -> Reward:
        own = {"context_id": asked[0].context_id, "n_questions": 2, "grader": "exact"}
        return reward(name, value, **own | {"n_repeats": 1} | columns)

    return make


def adapter(name: str, edit: str | None, context_id: str, status: str = "ok") -> Adapter:
    reason = None if status == "ok" else "out of memory"
    return Adapter(
        name,
        edit,
        context_id,
        "self-edits",
        "s",
        0,
        0,
        status,
        reason,
        "{}",
        1,
        1,
        1,
        None,
        None,
        0.0,
    )


@pytest.fixture
def run(asked: list[Question]) -> Callable[..., tuple[list[Reward], list[Verdict]]]:
    def go(
        rows: Sequence[Reward],
        given: Sequence[Answer],
        adapters: Sequence[Adapter] = (),
        grader: Grader = GRADERS["contained"],
    ) -> tuple[list[Reward], list[Verdict]]:
        questions = {question.question_id: question for question in asked}
        made = list(
            rewards(rows, answers=given, adapters=adapters, questions=questions, grader=grader)
        )
        assert [type(row) for row in made[-len(rows) :]] == [Reward] * len(rows)
        return made[-len(rows) :], made[: -len(rows)]

    return go


def test_a_reward_is_the_mean_over_repeats_under_the_new_grader(
    run: Any, stored: Any, answers: Any
) -> None:
    before = stored("a0", 0.5, n_repeats=2, source_file="x.json", source_position="/1")
    given = answers(None, None, WRONG) + answers("a0", "a", RIGHT) + answers("a0", "b", WRONG, 1)
    (after,), verdicts = run([before], given)
    assert (after.reward, after.adapted_accuracy, after.adapted_std) == (0.75, 0.75, 0.25)
    assert (after.baseline_accuracy, after.gain) == (0.5, 0.25)
    assert (after.grader, after.basis, after.status, after.n_repeats) == (
        "contained", "answers", "ok", 2
    )  # fmt: skip
    assert (after.self_edit_id, after.policy, after.student) == ("a0", "p", "p")
    assert (after.source_file, after.source_position) == (None, None)  # nobody recorded this number
    assert [v.answer_id for v in verdicts] == [a.answer_id for a in given]
    assert [v.correct for v in verdicts] == [False, True, True, True, False, True]
    assert {v.grader for v in verdicts} == {"contained"}


def test_the_baseline_is_the_mean_over_all_copies_of_the_unadapted_answers(
    run: Any, stored: Any, answers: Any
) -> None:
    copies = [RIGHT, RIGHT, WRONG, ["", ""]]
    given = answers("a0", "a", RIGHT)
    for i, texts in enumerate(copies):
        given += [
            replace(a, answer_id=f"copy {i} {a.answer_id}") for a in answers(None, None, texts)
        ]
    (after,), _ = run([stored("a0", 0.0)], given)
    assert after.baseline_accuracy == 5 / 8
    assert after.gain == 3 / 8


def test_without_unadapted_answers_the_gain_is_not_known(
    run: Any, stored: Any, answers: Any
) -> None:
    (after,), _ = run([stored("a0", 0.0)], answers("a0", "a", RIGHT))
    assert (after.reward, after.baseline_accuracy, after.gain) == (1.0, None, None)


@pytest.mark.parametrize("floor", [0.0, -1.0])
def test_an_invalid_self_edit_keeps_its_floor(
    run: Any, stored: Any, answers: Any, floor: float
) -> None:
    before = stored("a0", floor, status="invalid", n_repeats=0, adapted_std=None)
    (after,), _ = run([before], answers(None, None, RIGHT))
    assert (after.status, after.reward, after.reason) == ("invalid", floor, "no text to train on")
    assert (after.baseline_accuracy, after.adapted_accuracy, after.gain) == (1.0, None, None)
    assert after.grader == "contained"


def test_a_judge_that_was_down_is_made_good(
    run: Any, stored: Any, answers: Any, asked: list[Question]
) -> None:
    before = stored("a0", None, n_repeats=0)
    worn = [adapter(name, "a0", asked[0].context_id) for name in "ab"]
    given = answers("a0", "a", RIGHT) + answers("a0", "b", WRONG, 1)
    (after,), _ = run([before], given, worn)
    assert (after.status, after.reason, after.reward, after.n_repeats) == ("ok", None, 0.75, 2)


@pytest.mark.parametrize(
    ("texts", "status", "reason"),
    [
        ([RIGHT, None], "failed", "out of memory"),  # an adapter that was never trained
        ([RIGHT, ["in 1871", None]], "ok", "the server is down"),
        ([RIGHT, ["in 1871"]], "ok", "answers to 1 of 2 questions"),
    ],
)
def test_what_was_not_answered_stays_failed(
    run: Any,
    stored: Any,
    answers: Any,
    asked: list[Question],
    texts: list[Any],
    status: str,
    reason: str,
) -> None:
    worn = [
        adapter("a", "a0", asked[0].context_id),
        adapter("b", "a0", asked[0].context_id, status),
    ]
    given = [a for i, t in enumerate(texts) if t for a in answers("a0", "ab"[i], t, i)]
    (after,), verdicts = run([stored("a0", None)], given, worn)
    assert (after.status, after.reward, after.reason) == ("failed", None, reason)
    assert len(verdicts) == sum(a.status == "ok" for a in given)  # no answer, no verdict


def test_without_adapters_the_stored_number_of_repeats_has_to_be_there(
    run: Any, stored: Any, answers: Any
) -> None:
    given = answers("a0", None, RIGHT) + answers("a0", None, WRONG, 1)
    (whole,), _ = run([stored("a0", 0.5, n_repeats=2)], given)
    assert (whole.status, whole.reward) == ("ok", 0.75)
    (part,), _ = run([stored("a0", 0.5, n_repeats=3)], given)
    assert (part.status, part.reason) == ("failed", "answers of 2 of 3 repeats")
    (unknown,), _ = run([stored("a0", None, n_repeats=2)], given)
    assert (unknown.status, unknown.reason) == ("failed", "out of memory")


def test_an_answer_that_cannot_be_judged_is_never_wrong(
    run: Any, stored: Any, answers: Any
) -> None:
    class Silent(ScoreGrader):
        def grade(self, question: str, golds: Sequence[str], answer: str) -> Judgement:
            return Judgement(None, None, "no verdict")

    silent = Silent(name="silent", score=lambda *_: 0.0)
    given = answers(None, None, RIGHT) + answers("a0", "a", RIGHT)
    (after,), verdicts = run([stored("a0", 0.5)], given, grader=silent)
    assert (after.status, after.reward, after.baseline_accuracy) == ("failed", None, None)
    assert {v.correct for v in verdicts} == {None}


def test_an_answer_to_a_question_that_is_not_stored_has_no_verdict(
    run: Any, stored: Any, answers: Any
) -> None:
    given = [replace(a, question_id="elsewhere") for a in answers("a0", "a", RIGHT)[:1]]
    (after,), (verdict,) = run([stored("a0", 0.5, n_questions=1)], given)
    assert (verdict.correct, verdict.reason) == (None, "its question is not stored")
    assert (after.status, after.reason) == ("failed", "an answer could not be judged")


def test_the_same_text_is_judged_once(run: Any, stored: Any, answers: Any) -> None:
    calls = []

    def score(question: str, gold: str, answer: str) -> float:
        calls.append(answer)
        return 1.0

    given = answers(None, None, RIGHT) + answers("a0", "a", RIGHT) + answers("a1", "b", WRONG)
    run([stored("a0", 0.5), stored("a1", 0.5)], given, grader=ScoreGrader(name="mine", score=score))
    assert calls == ["in 1871", "31 m", "in 1902"]


@pytest.fixture
def measure(asked: list[Question]) -> Callable[..., dict[tuple[str, str], Metric]]:
    def go(
        given: Sequence[Answer], adapters: Sequence[Adapter] = (), regime: str = "single"
    ) -> dict[tuple[str, str], Metric]:
        row = Metric("p", 2, "d", regime, "unadapted", None, None, "accuracy", 0, 0, 0, 1, 2, 0)
        by_id = {question.question_id: question for question in asked}
        made = metrics(
            [row],
            answers=lambda: given,
            verdicts=judged(given, by_id, GRADERS["contained"]),
            adapters=adapters,
            questions={asked[0].context_id: asked},
            grader="contained",
        )
        return {(m.method, m.metric): m for m in made if isinstance(m, Metric)}

    return go


def test_metrics_are_those_of_eval_for_the_methods_that_are_there(
    measure: Any, answers: Any
) -> None:
    entigraph = [replace(a, method="entigraph") for a in answers(None, "e", ["1871", "9"])]
    found = measure(answers(None, None, WRONG) + answers(None, "p", RIGHT) + entigraph)
    assert {key: m.value for key, m in found.items()} == {
        ("unadapted", "accuracy"): 0.5,
        ("passage-only", "accuracy"): 1.0,
        ("passage-only", "gain"): 0.5,
        ("entigraph", "accuracy"): 0.5,
        ("entigraph", "gain"): 0.0,
    }
    assert {(m.policy, m.round, m.dataset, m.grader) for m in found.values()} == {
        ("p", 2, "d", "contained")
    }


def test_an_invalid_self_edit_of_an_evaluation_answers_nothing_right(
    measure: Any, answers: Any, asked: list[Question]
) -> None:
    worn = [adapter("x", "edit", asked[0].context_id, "invalid")]
    found = measure(answers(None, None, RIGHT), worn)
    assert found["self-edits", "accuracy"].value == 0.0


def test_in_the_regime_cpt_the_mean_is_over_the_questions_that_were_asked(
    measure: Any, answers: Any
) -> None:
    given = answers(None, None, WRONG[:1]) + answers(None, "p", RIGHT[:1])
    found = measure(given, regime="cpt")
    gain = found["passage-only", "gain"]
    assert (gain.regime, gain.value, gain.n, gain.n_questions, gain.n_failed) == (
        "cpt", 1.0, 1, 1, 0
    )  # fmt: skip
