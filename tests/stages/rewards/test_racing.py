"""Who runs again, by hand; and that a race spends its runs where the choice is open."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from stages.config import ScoreConfig
from stages.domains import knowledge
from stages.engines import Completion, Request
from stages.exam import Examiner
from stages.grading import GRADERS
from stages.records import Adapter, Context, Question, Reward, SelfEdit
from stages.rewards.racing import Bounds, Halving, contenders, noise, race
from stages.score import Scoring
from stages.training import Lora

HALVING = Halving(0.5)


def test_halving_keeps_the_better_half_rounded_up_and_the_earlier_of_equals() -> None:
    runs = {"a": [0.2], "b": [0.6], "c": [0.6], "d": [0.4], "e": [0.6]}
    assert contenders(runs, 5, HALVING) == ["b", "c", "e"]
    assert contenders(runs, 5, Halving(0.4)) == ["b", "c"]
    assert contenders({k: [*v, 0.0] for k, v in runs.items()}, 5, HALVING) == ["b", "c", "e"]


def test_the_last_one_left_has_nobody_to_run_against() -> None:
    assert contenders({"a": [0.2], "b": [0.6]}, 5, HALVING) == []
    assert contenders({"a": [0.2]}, 5, Bounds(0.9)) == []


def test_noise_is_binomial_at_first_and_what_was_seen_later() -> None:
    # One run of 4 questions, half of them right: (2 + .5) / 5 = .5; variance .25 / 4.
    assert noise([[0.5]], 4) == pytest.approx(0.0625)
    # A perfect run is not a certain one: (4 + .5) / 5 = .9; .09 / 4.
    assert noise([[1.0]], 4) == pytest.approx(0.0225)
    # Two runs of 0 and 1: p = .5 and spread .5, one degree of freedom beside the prior's four.
    assert noise([[0.0, 1.0]], 4) == pytest.approx((4 * 0.0625 + 0.5) / 5)


def test_bounds_drop_who_is_out_of_reach() -> None:
    runs = {"a": [1.0], "b": [0.5], "c": [0.0]}
    # p = .9, .5, .1: mean variance (.09 + .25 + .09) / 3 / 4 = .0358, deviation .1893.
    # At 50 % a bound reaches .6745 deviations = .1277: b is .5 behind, twice the reach is .2553.
    assert contenders(runs, 4, Bounds(0.5)) == []
    # At 90 %: 1.6449 x .1893 = .3114, twice .6228: b stays, c is 1.0 behind.
    assert contenders(runs, 4, Bounds(0.9)) == ["a", "b"]
    assert contenders(runs, 4, Bounds(0.999)) == ["a", "b", "c"]


def test_more_runs_narrow_the_bounds() -> None:
    runs = {"a": [1.0], "b": [0.5], "c": [0.0]}
    longer = {name: found * 4 for name, found in runs.items()}
    assert contenders(longer, 4, Bounds(0.9)) == []


class Answering:
    """Answers so many questions right as the LoRA's alpha says; the unadapted one none."""

    def complete(
        self, requests: Sequence[Request], loras: Sequence[Lora | None] = ()
    ) -> list[Completion]:
        asked: Counter[int] = Counter()
        said = []
        for request, lora in zip(requests, loras, strict=True):
            asked[id(lora)] += 1
            right = lora is not None and asked[id(lora)] <= lora.alpha
            gold = {"When": ("1871", "1902"), "How": ("31 m", "27 m")}
            pair = gold["When" if "When" in request.prompt else "How"]
            text = pair["Harbour Vik" in request.prompt] if right else "no"
            said.append(Completion(text, 1, "stop"))
        return said


Race = Callable[..., tuple[list[Any], list[tuple[int, list[str]]]]]


@pytest.fixture
def run(
    contexts: dict[str, Context],
    questions: dict[str, list[Question]],
    edit: Callable[..., SelfEdit],
) -> Race:
    """`run({name: right answers per repeat}, config)`: the rows, and who was trained when."""

    def go(
        plan: Mapping[str, Sequence[int | str]],
        racing: Halving | Bounds | None,
        repeats: int = 3,
        rule: str = "accuracy",
    ) -> tuple[list[Any], list[tuple[int, list[str]]]]:
        both = list(contexts.values())
        edits = [
            edit(both[name.startswith("v")], sample=i, self_edit_id=name)
            for i, name in enumerate(plan)
        ]
        trained: list[tuple[int, list[str]]] = []

        def adapt(wanted: Sequence[SelfEdit], repeat: int) -> Iterator[Any]:
            trained.append((repeat, [e.self_edit_id for e in wanted]))
            yield from (adapter(e, repeat, plan[e.self_edit_id][repeat]) for e in wanted)

        examiner = Examiner("s", Answering(), knowledge, GRADERS["exact"], ScoreConfig())
        scoring = Scoring(contexts, questions, examiner, rule)
        if racing is None:
            pairs = [adapter(e, r, plan[e.self_edit_id][r]) for e in edits for r in range(repeats)]
            return scoring.score(edits, pairs), trained
        return race(edits, adapt, scoring, repeats=repeats, racing=racing), trained

    return go


def adapter(edit: SelfEdit, repeat: int, right: int | str) -> tuple[Adapter, Lora | None]:
    status: Any = right if isinstance(right, str) else "ok"
    row = Adapter(
        f"{edit.self_edit_id}/{repeat}", edit.self_edit_id, edit.context_id, "self-edits", "s",
        repeat, 0, status, None if status == "ok" else f"it was {status}", "{}", 1, 1, 1, None,
        None, 0.0,
    )  # fmt: skip
    return row, None if isinstance(right, str) else Lora(1, right, {})


PLAN = {"a": [1, 2, 2], "b": [2, 1, 2], "c": [0, 2, 2], "v1": [0, 1, 2], "v2": [1, 2, 2]}


def rewards(rows: Sequence[Any]) -> dict[str, Reward]:
    return {row.self_edit_id: row for row in rows if isinstance(row, Reward)}


def test_runs_are_spent_on_who_is_still_in(run: Race) -> None:
    rows, trained = run(PLAN, HALVING)
    # Of v1 and v2 half is one: the second context is decided after one run.
    assert trained == [(0, ["a", "b", "c", "v1", "v2"]), (1, ["a", "b"])]
    found = {name: (r.n_repeats, r.reward) for name, r in rewards(rows).items()}
    assert found == {"a": (2, 0.75), "b": (2, 0.75), "c": (1, 0.0), "v1": (1, 0.0), "v2": (1, 0.5)}
    assert sum(isinstance(row, Adapter) for row in rows) == 7


def test_a_race_that_drops_nobody_gives_the_rewards_of_score(run: Race) -> None:
    raced, trained = run(PLAN, Bounds(0.999))
    scored, _ = run(PLAN, None)
    assert [repeat for repeat, _ in trained] == [0, 1, 2]
    assert rewards(raced) == rewards(scored)


def test_a_context_is_decided_by_itself(run: Race) -> None:
    """Batches are cut by free memory: what else is in one must not matter."""
    whole = rewards(run(PLAN, HALVING)[0])
    alone = rewards(run({k: v for k, v in PLAN.items() if not k.startswith("v")}, HALVING)[0])
    assert {name: whole[name] for name in alone} == alone


def test_who_failed_or_was_invalid_runs_no_more(run: Race) -> None:
    plan = {"a": ["failed", 2, 2], "b": ["invalid", 2, 2], "c": [0, 0, 0], "d": [0, 1, 1]}
    rows, trained = run(plan, Bounds(0.9))
    assert trained[1:] == [(1, ["c", "d"]), (2, ["c", "d"])]
    found = {name: (r.status, r.reward, r.n_repeats) for name, r in rewards(rows).items()}
    assert found["a"] == ("failed", None, 0)
    assert found["b"] == ("invalid", 0.0, 0)
    assert found["d"] == ("ok", pytest.approx(1 / 3), 3)


def test_the_rule_of_the_reward_does_not_change_who_runs(run: Race) -> None:
    rows, trained = run(PLAN, HALVING, rule="improved")
    assert trained == run(PLAN, HALVING)[1]
    assert [r.reward for r in rewards(rows).values()] == [1.0, 1.0, 0.0, 0.0, 1.0]
    assert {r.rule for r in rewards(rows).values()} == {"improved"}
