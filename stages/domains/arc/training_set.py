"""Demonstrations and tools -> the tasks that are trained on. Text and tokens come after it.

From N demonstrations: every one of them in turn is the query of a task, shown with all the others
(leave one out) or with all but one of the others (leave two out). Each tool adds those tasks
transformed, and with any tool every task also comes with its colours and its demonstrations
permuted. Only the demonstrations go in; a test pair is nowhere near.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stages.domains.arc import transforms
from stages.domains.arc.grids import COLOURS, MAX_SIDE
from stages.domains.arc.tasks import Pair
from stages.domains.arc.tool_call import DataGeneration
from stages.domains.arc.transforms import Array, Transform

Arrays = tuple[Array, Array]  # input and output of a pair


@dataclass(frozen=True, slots=True)
class Task:
    """Demonstrations in view and the pair to be learned."""

    shown: tuple[Pair, ...]
    query: Pair


def training_set(pairs: Sequence[Pair], tools: DataGeneration, *, seed: str) -> Iterator[Task]:
    """Every task once, none with a grid over 30: first the task's own, then the tools', shuffled.

    In this order, so that a cap on examples never loses the demonstrations themselves. `seed`
    decides shifts and permutations.
    """
    chance = random.Random(seed)
    arrays = [(transforms.array(pair.input), transforms.array(pair.output)) for pair in pairs]
    splits = left_out(len(pairs))
    used = _transforms(tools, chance)
    planned = [(transforms.IDENTITY, split, False) for split in splits]
    more = [(transform, split, False) for transform in used for split in splits]
    if used:
        every = [transforms.IDENTITY, *used]
        more += [(transform, split, True) for transform in every for split in splits]
    chance.shuffle(more)
    transformed: dict[str, list[Arrays] | None] = {}
    seen: set[bytes] = set()
    for transform, (shown, query), permuted in planned + more:
        if transform.name not in transformed:
            transformed[transform.name] = _transformed(arrays, transform)
        given = transformed[transform.name]
        order = list(shown)
        recolour = transforms.IDENTITY
        if permuted:  # drawn also when the grids are too large: other tasks keep their draws
            chance.shuffle(order)
            recolour = transforms.recolouring((0, *chance.sample(range(1, COLOURS), COLOURS - 1)))
        if given is None:
            continue
        chosen = [tuple(map(recolour.apply, given[i])) for i in (*order, query)]
        key = _key(chosen)
        if key not in seen:
            seen.add(key)
            made = [Pair(transforms.grid(a), transforms.grid(b)) for a, b in chosen]
            yield Task(tuple(made[:-1]), made[-1])


def left_out(n: int) -> list[tuple[tuple[int, ...], int]]:
    """Which demonstrations are shown and which is asked for, of `n`; something is always shown."""
    splits: list[tuple[tuple[int, ...], int]] = []
    for size in (n - 1, n - 2):
        for query in range(n if size > 0 else 0):
            others = [i for i in range(n) if i != query]
            splits += [(shown, query) for shown in combinations(others, size)]
    return splits


def _transforms(tools: DataGeneration, chance: random.Random) -> list[Transform]:
    shift = transforms.translation(*(chance.randint(1, 4) for _ in range(2)))
    wanted = (
        (tools.use_basic_augmentations, (*transforms.BASIC, shift)),
        (tools.use_size_augmentations, transforms.SIZE),
        (tools.use_chain_augmentations, transforms.CHAIN),
        (tools.use_repeat_augmentations, transforms.REPEAT),
    )
    return [transform for use, group in wanted if use for transform in group]


def _transformed(arrays: Sequence[Arrays], transform: Transform) -> list[Arrays] | None:
    """Every grid transformed; None when one of them outgrows the limit."""
    made = [(transform.apply(before), transform.apply(after)) for before, after in arrays]
    if any(max(side.shape) > MAX_SIDE for pair in made for side in pair):
        return None
    return made


def _key(pairs: Sequence[tuple[Array, ...]]) -> bytes:
    """The same for the same task and no other."""
    sides = [side for pair in pairs for side in pair]
    shapes = np.array([side.shape for side in sides], dtype=np.uint8)
    return shapes.tobytes() + b"".join(side.tobytes() for side in sides)
