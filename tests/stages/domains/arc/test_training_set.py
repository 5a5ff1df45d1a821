"""The training set of a tool call: what is in it, in which order, and what never is."""

import itertools
from typing import Any

import pytest
from arc_made import grids
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.domains.arc.grids import checked
from stages.domains.arc.settings import ArcConfig
from stages.domains.arc.tasks import Pair
from stages.domains.arc.tool_call import DataGeneration
from stages.domains.arc.training_set import Task, left_out, training_set

NAMES = ("basic", "size", "chain", "repeat")
ALL_TOOLS = list(itertools.product((False, True), repeat=4))


def tools(*used: str) -> DataGeneration:
    return DataGeneration(**{f"use_{name}_augmentations": name in used for name in NAMES})


def pairs(n: int = 4, side: int = 3) -> list[Pair]:
    """Pairs that can be told apart: input i is all i + 1 but for one cell, output all i + 2."""
    made = []
    for i in range(n):
        rows = [[i + 1] * side for _ in range(side)]
        rows[0][0] = 9
        before = tuple(tuple(row) for row in rows)
        made.append(Pair(before, tuple(tuple([i + 2] * side) for _ in range(side))))
    return made


def test_leave_one_out_and_leave_two_out() -> None:
    assert left_out(3) == [
        ((1, 2), 0), ((0, 2), 1), ((0, 1), 2),
        ((1,), 0), ((2,), 0), ((0,), 1), ((2,), 1), ((0,), 2), ((1,), 2),
    ]  # fmt: skip
    assert left_out(2) == [((1,), 0), ((0,), 1)]
    assert left_out(1) == []


def test_without_tools_only_the_tasks_own() -> None:
    given = pairs(4)
    made = list(training_set(given, tools(), seed="a"))
    assert len(made) == 4 + 12
    for task in made:
        assert task.query in given
        assert task.query not in task.shown
        assert set(task.shown) <= set(given)


def test_the_own_tasks_come_first_with_every_tool() -> None:
    plain = list(training_set(pairs(), tools(), seed="a"))
    for used in ALL_TOOLS:
        call = tools(*itertools.compress(NAMES, used))
        assert list(itertools.islice(training_set(pairs(), call, seed="b"), 16)) == plain


def test_every_tool_adds_what_it_says() -> None:
    def sides(used: str) -> set[tuple[int, int]]:
        made = training_set(pairs(), tools(used), seed="a")
        return {(len(t.query.input), len(t.query.input[0])) for t in made}

    assert sides("basic") == {(3, 3), (6, 3), (3, 6)}
    assert sides("size") == {(3, 3), (6, 6), (6, 3), (3, 6)}
    assert sides("chain") == {(3, 3), (6, 6)}
    assert sides("repeat") == {(3, 3), (6, 3), (3, 6), (6, 6)}


def test_the_background_is_never_recoloured_and_a_task_has_one_recolouring() -> None:
    given = [Pair(((0, i),), ((i, 0),)) for i in (1, 2, 3)]
    for task in training_set(given, tools("repeat"), seed="a"):
        for pair in (*task.shown, task.query):
            assert pair.input[0][0] == 0
            assert pair.input[0][1] == pair.output[0][0] != 0


def test_the_seed_decides_and_nothing_else() -> None:
    def made(seed: str) -> list[Task]:
        return list(training_set(pairs(), tools("basic", "size"), seed=seed))

    assert made("a") == made("a") != made("b")


@settings(max_examples=30)
@given(
    st.lists(st.tuples(grids(), grids()), min_size=1, max_size=4),
    st.sampled_from(ALL_TOOLS),
)
def test_valid_and_without_duplicates_whatever_the_grids(made: Any, used: Any) -> None:
    given = [Pair(*pair) for pair in made]
    found = list(training_set(given, tools(*itertools.compress(NAMES, used)), seed="a"))
    assert len(found) == len({(task.shown, task.query) for task in found})
    for task in found:
        assert task.shown
        for pair in (*task.shown, task.query):
            assert checked(pair.input) == pair.input
            assert checked(pair.output) == pair.output


@pytest.mark.parametrize(("side", "largest"), [(10, 20), (15, 30), (16, 16)])
def test_grids_over_thirty_are_left_out(side: int, largest: int) -> None:
    made = training_set(pairs(3, side), tools(*NAMES), seed="a")
    assert max(len(task.query.input) for task in made) == largest


def test_one_grid_that_is_too_large_costs_the_tasks_that_have_it_and_no_others() -> None:
    small, large = pairs(3), pairs(1, 16)
    tasks = list(training_set([*small, *large], tools("size"), seed="a"))
    doubled = [t for t in tasks if t.transform == "scale 2 2"]
    assert doubled
    assert not [t for t in doubled if len(t.query.input) > 6]
    (per_split,) = {len([t for t in doubled if t.query == query]) for query in doubled_of(small)}
    assert per_split == 1  # leave two out: shown is the one that is neither large nor asked for


def doubled_of(given: list[Pair]) -> list[Pair]:
    def twice(grid: Any) -> Any:
        return tuple(tuple(c for c in row for _ in range(2)) for row in grid for _ in range(2))

    return [Pair(twice(pair.input), twice(pair.output)) for pair in given]


def paper(**changes: Any) -> ArcConfig:
    return ArcConfig(**{"reorder": True, "colours": "unused"} | changes)


def test_without_tools_reordered_copies_come_where_they_are_wanted() -> None:
    given = pairs(4)
    plain = list(training_set(given, tools(), seed="a"))
    made = list(training_set(given, tools(), seed="a", settings=paper()))
    assert made[: len(plain)] == plain
    more = made[len(plain) :]
    assert 8 <= len(more) <= 16  # an order that it had already comes once
    for task in more:
        assert task.permuted
        assert task.query in given
        assert set(task.shown) <= set(given)
        assert task.shown not in {p.shown for p in plain if p.query == task.query}


def test_unused_colours_are_preferred() -> None:
    def used(task: Task) -> set[int]:
        sides = [side for p in (*task.shown, task.query) for side in (p.input, p.output)]
        return {colour for side in sides for row in side for colour in row} - {0}

    given = [Pair(((0, i),), ((i, 0),)) for i in (1, 2, 3)]
    for task in training_set(given, tools("repeat"), seed="a", settings=paper()):
        if len(task.shown) == 2:  # all three are in it
            assert task.permuted == (not used(task) & {1, 2, 3})
    crowded = [Pair(((i, i + 1, i + 2),), ((0,),)) for i in (1, 4, 6)]  # 1 to 8 are used
    for task in training_set(crowded, tools("repeat"), seed="a", settings=paper()):
        if task.permuted and len(used(task)) == 8:
            assert 9 in used(task)


def test_under_a_cap_the_own_tasks_come_first_unless_all_are_shuffled() -> None:
    def first(**changes: Any) -> int:
        made = training_set(pairs(4), tools(*NAMES), seed="a", settings=paper(**changes))
        return sum((t.transform, t.permuted) == ("", False) for t in itertools.islice(made, 16))

    assert first() == 16
    assert first(own_first=False) < 8
    every = {(t.shown, t.query) for t in training_set(pairs(4), tools(), seed="a")}
    shuffled = training_set(pairs(4), tools(), seed="a", settings=ArcConfig(own_first=False))
    assert {(t.shown, t.query) for t in shuffled} == every
