"""What a self-edit earns: means over repeats, one baseline per context, failures without number."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from stages.config import ScoreConfig
from stages.domains import knowledge
from stages.engines import Completion, Request
from stages.engines.scripted import ScriptedEngine
from stages.errors import ResourceError
from stages.exam import Examiner, rows_of
from stages.grading import GRADERS
from stages.probe import Probe
from stages.records import Adapter, Answer, Context, Question, Reward, SelfEdit, Verdict
from stages.score import Scoring
from stages.training import Lora

Edit = Callable[..., SelfEdit]


class Recording(ScriptedEngine):
    """The scripted engine, which answers by the LoRA worn (its alpha is how many are right)."""

    def __init__(self, baseline: int = 0) -> None:
        super().__init__()
        self.baseline, self.unadapted = baseline, 0

    def complete(
        self, requests: Sequence[Request], loras: Sequence[Lora | None] = ()
    ) -> list[Completion]:
        asked: Counter[tuple[int, str]] = Counter()
        return [self._answer(r, lora, asked) for r, lora in zip(requests, loras, strict=True)]

    def _answer(self, request: Request, lora: Lora | None, asked: Counter[Any]) -> Completion:
        """Right on the first questions that this LoRA is asked about a passage."""
        right = self.baseline if lora is None else lora.alpha
        if right < 0:
            return Completion("", 0, None, "the server is down")
        passage = "Ost" if "Harbour Ost" in request.prompt else "Vik"
        self.unadapted += lora is None and not asked[id(lora), passage]
        asked[id(lora), passage] += 1
        text = _gold(request.prompt) if asked[id(lora), passage] <= right else "no"
        return Completion(text, 1, "stop")


def _gold(prompt: str) -> str:
    year, height = ("1871", "31 m") if "Harbour Ost" in prompt else ("1902", "27 m")
    return year if "When" in prompt else height


def adapters(
    edits: Sequence[SelfEdit], right: Sequence[Sequence[int | str]]
) -> Iterator[tuple[Adapter, Lora | None]]:
    """One adapter per number (of right answers) or status, per self-edit."""
    for edit, repeats in zip(edits, right, strict=True):
        for repeat, n in enumerate(repeats):
            status = n if isinstance(n, str) else "ok"
            row = Adapter(
                adapter_id=f"{edit.self_edit_id}/{repeat}",
                self_edit_id=edit.self_edit_id,
                context_id=edit.context_id,
                method="self-edits",
                student="s",
                repeat=repeat,
                seed=0,
                status=status,
                reason=None if status == "ok" else f"it was {status}",
                hyperparameters="{}",
                n_sequences=1,
                n_tokens=1,
                n_steps=1,
                first_loss=None,
                last_loss=None,
                seconds=0.0,
            )
            yield row, None if isinstance(n, str) else Lora(1, n, {})


@pytest.fixture
def run(
    contexts: dict[str, Context], questions: dict[str, list[Question]], edit: Edit
) -> Callable[..., tuple[list[Any], Recording]]:
    """`run(right, baseline, floor)`: all rows, and the engine."""

    def go(
        right: Sequence[Sequence[int | str]], baseline: int = 0, floor: float = 0.0
    ) -> tuple[list[Any], Recording]:
        engine = Recording(baseline)
        examiner = Examiner(
            student="s",
            engine=engine,
            domain=knowledge,
            grader=GRADERS["exact"],
            config=ScoreConfig(reward_floor=floor),
        )
        both = list(contexts.values())
        edits = [edit(both[i % 2], sample=i // 2, round=3) for i in range(len(right))]
        rows = Scoring(contexts, questions, examiner).score(edits, adapters(edits, right))
        return rows, engine

    return go


def rewards(rows: Sequence[Any]) -> list[Reward]:
    return [row for row in rows if isinstance(row, Reward)]


def test_a_reward_is_the_mean_over_repeats_with_their_deviation(run: Any) -> None:
    (earned,) = rewards(run([[2, 1, 0]], baseline=1)[0])
    assert (earned.reward, earned.adapted_accuracy) == (0.5, 0.5)
    assert earned.adapted_std == pytest.approx((1 / 6) ** 0.5)  # population, of 1, 1/2 and 0
    assert (earned.baseline_accuracy, earned.gain) == (0.5, 0.0)
    assert (earned.n_repeats, earned.n_questions, earned.status) == (3, 2, "ok")
    assert (earned.student, earned.grader, earned.round) == ("s", "exact", 3)


def test_the_gain_is_measured_against_the_unadapted_student(run: Any) -> None:
    (earned,) = rewards(run([[0]], baseline=2)[0])
    assert (earned.reward, earned.gain) == (0.0, -1.0)


def test_the_unadapted_student_is_examined_once_per_context(run: Any) -> None:
    rows, engine = run([[1], [1], [2], [2]])
    assert engine.unadapted == 2
    unadapted = [r for r in rows if isinstance(r, Answer) and r.method == "unadapted"]
    assert len(unadapted) == 4  # two contexts of two questions, not four self-edits
    assert [r.reward for r in rewards(rows)] == [0.5, 0.5, 1.0, 1.0]


def test_rows_come_as_they_are_made_and_rewards_last_in_order_of_self_edits(run: Any) -> None:
    rows, _ = run([[1, 1], [2, 0]])
    kinds = [type(row) for row in rows]
    assert kinds.count(Adapter) == 4
    assert kinds.count(Answer) == kinds.count(Verdict) == 12
    assert kinds[-2:] == [Reward, Reward]
    assert [r.self_edit_id for r in rows[-2:]] == ["edit 0 It is old. 0", "edit 1 It is old. 0"]


def test_an_adapter_that_failed_makes_the_reward_null(run: Any) -> None:
    one, other = rewards(run([[2, "failed", 2], [2, 2]])[0])
    assert (one.reward, one.adapted_accuracy, one.gain, one.status) == (None, None, None, "failed")
    assert one.reason == "it was failed"
    assert (other.reward, other.status) == (1.0, "ok")


def test_an_answer_that_failed_makes_the_reward_null(run: Any) -> None:
    (earned,) = rewards(run([[2, -1]])[0])
    assert (earned.reward, earned.status, earned.reason) == (None, "failed", "the server is down")


@pytest.mark.parametrize("floor", [0.0, -1.0])
def test_an_invalid_self_edit_earns_the_floor(run: Any, floor: float) -> None:
    earned, other = rewards(run([["invalid", "invalid"], [2]], floor=floor)[0])
    assert (earned.reward, earned.status, earned.reason) == (floor, "invalid", "it was invalid")
    assert (earned.adapted_accuracy, earned.adapted_std, earned.gain) == (None, None, None)
    assert other.reward == 1.0


def test_a_failed_baseline_fails_its_context_alone(run: Any, edit: Edit) -> None:
    rows, _ = run([[2], [2]], baseline=-1)
    assert [(r.reward, r.status) for r in rewards(rows)] == [(None, "failed")] * 2
    assert {r.reason for r in rewards(rows)} == {"the server is down"}


def test_a_self_edit_without_adapters_is_a_failed_row(run: Any) -> None:
    (earned,) = rewards(run([[]])[0])
    assert earned.status == "failed"


@pytest.mark.parametrize(
    ("value", "status"), [(None, "ok"), (None, "invalid"), (0.0, "failed"), (0.5, "failed")]
)
def test_a_reward_that_contradicts_its_status_cannot_be_built(
    reward: Callable[..., Reward], value: float | None, status: str
) -> None:
    with pytest.raises(ValueError, match=status):
        reward("a0", value, status=status)


class Probed:
    """Self-edits about the first passage, probed with the questions of the second."""

    def __init__(self, contexts: Any, questions: Any, edit: Edit, baseline: int) -> None:
        self.own, self.other = contexts.values()
        self.edit, self.questions, self.contexts = edit, questions, contexts
        self.engine = Recording(baseline)
        self.examiner = Examiner(
            student="s",
            engine=self.engine,
            domain=knowledge,
            grader=GRADERS["exact"],
            config=ScoreConfig(),
        )

        self.probe = Probe([self.other], questions, self.examiner, first=self.own.context_id)

    def score(self, right: Sequence[Sequence[int | str]], probe: Probe | None) -> list[Any]:
        edits = [self.edit(self.own, sample=i) for i in range(len(right))]
        scoring = Scoring(self.contexts, self.questions, self.examiner, probe=probe)
        return scoring.score(edits, adapters(edits, right))


@pytest.fixture
def probed(
    contexts: dict[str, Context], questions: dict[str, list[Question]], edit: Edit
) -> Callable[[int], Probed]:
    return lambda baseline: Probed(contexts, questions, edit, baseline)


def test_a_probe_tells_what_each_self_edit_made_the_student_forget(
    probed: Callable[[int], Probed],
) -> None:
    using = probed(2)
    assert using.probe.baseline() == 1.0  # both questions about the other passage
    scored = using.score([[2, 1], [0, 0], [1, "failed"], ["invalid", "invalid"]], using.probe)
    found = [(r.probe_baseline, r.probe_accuracy) for r in rewards(scored)]
    assert found == [(1.0, 0.75), (1.0, 0.0), (1.0, None), (1.0, None)]


def test_a_probe_changes_no_reward_and_its_answers_say_that_they_are_of_one(
    probed: Callable[[int], Probed],
) -> None:
    using = probed(1)
    right: list[list[int | str]] = [[2, 1], [0, 1], ["invalid", "invalid"]]
    with_probe, without = using.score(right, using.probe), using.score(right, None)
    plain = [replace(r, probe_baseline=None, probe_accuracy=None) for r in rewards(with_probe)]
    assert plain == rewards(without)
    rows = [*rows_of(using.probe.unadapted), *with_probe]
    asked = [r for r in rows if isinstance(r, Answer)]
    own, other = using.own.context_id, using.other.context_id
    # Two questions each of the unadapted student and of four adapters that are ok.
    assert Counter((r.method, r.scope, r.about_context_id) for r in asked) == {
        ("unadapted", "own", None): 2,
        ("self-edits", "own", None): 8,
        ("unadapted", "probe", other): 2,
        ("self-edits", "probe", other): 8,
    }
    assert {r.context_id for r in rows} == {own}  # what they were made for
    about = {q.question_id: q.context_id for some in using.questions.values() for q in some}
    assert all(about[r.question_id] == (r.about_context_id or own) for r in asked)


def test_an_unadapted_student_that_cannot_be_probed_is_an_error(
    probed: Callable[[int], Probed],
) -> None:
    with pytest.raises(ResourceError, match="the server is down"):
        probed(-1).probe.baseline()
