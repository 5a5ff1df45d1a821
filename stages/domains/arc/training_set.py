"""Demonstrations and tools -> the tasks that are trained on. Text and tokens come after it.

From N demonstrations: every one of them in turn is the query of a task, shown with all the others
(leave one out) or with all but one of the others (leave two out). Each tool adds those tasks
transformed, and with any tool every task also comes with its colours and its demonstrations
permuted; without one, if wanted, with its demonstrations. Only the demonstrations go in; a test
pair is nowhere near.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from stages.domains.arc import transforms
from stages.domains.arc.grids import COLOURS, MAX_SIDE
from stages.domains.arc.settings import ArcConfig
from stages.domains.arc.tasks import Pair
from stages.domains.arc.tool_call import DataGeneration
from stages.domains.arc.transforms import Array, Transform

Arrays = tuple[Array, Array]  # input and output of a pair
Split = tuple[tuple[int, ...], int]  # which demonstrations are shown, and which is asked for

OURS = ArcConfig()


@dataclass(frozen=True, slots=True)
class Task:
    """Demonstrations in view and the pair to be learned; how it was made of the given ones."""

    shown: tuple[Pair, ...]
    query: Pair
    transform: str
    permuted: bool


def training_set(
    pairs: Sequence[Pair], tools: DataGeneration, *, seed: str, settings: ArcConfig = OURS
) -> Iterator[Task]:
    """Every task once, none with a grid over 30: first the task's own, then the others, shuffled.

    In this order, so that a cap on examples never loses the demonstrations themselves, unless the
    settings say to shuffle all. `seed` decides shifts, permutations and the order.
    """
    chance = random.Random(seed)
    arrays = [(transforms.array(pair.input), transforms.array(pair.output)) for pair in pairs]
    used = _transforms(tools, chance)
    transformed: dict[str, list[Arrays]] = {}
    seen: set[bytes] = set()
    for transform, (shown, query), permuted in _planned(len(pairs), used, chance, settings):
        if transform.name not in transformed:
            transformed[transform.name] = [
                (transform.apply(a), transform.apply(b)) for a, b in arrays
            ]
        order = list(shown)
        if permuted:
            chance.shuffle(order)
        chosen = [transformed[transform.name][i] for i in (*order, query)]
        if permuted and used:  # drawn also when grids are too large: other tasks keep their draws
            recolour = transforms.recolouring(_colours(chosen, chance, settings)).apply
            chosen = [(recolour(a), recolour(b)) for a, b in chosen]
        key = _key(chosen)
        if key in seen or any(max(side.shape) > MAX_SIDE for pair in chosen for side in pair):
            continue
        seen.add(key)
        made = [Pair(transforms.grid(a), transforms.grid(b)) for a, b in chosen]
        yield Task(tuple(made[:-1]), made[-1], transform.name, permuted)


def _planned(
    n: int, used: Sequence[Transform], chance: random.Random, settings: ArcConfig
) -> list[tuple[Transform, Split, bool]]:
    """All tasks from `n` demonstrations in order; some may come twice, or outgrow the limit."""
    splits = left_out(n)
    own = [(transforms.IDENTITY, split, False) for split in splits]
    more = [(transform, split, False) for transform in used for split in splits]
    if used or settings.reorder:
        every = [transforms.IDENTITY, *used]
        more += [(transform, split, True) for transform in every for split in splits]
    if not settings.own_first:
        own, more = [], own + more
    chance.shuffle(more)
    return own + more


def left_out(n: int) -> list[Split]:
    """Which demonstrations are shown and which is asked for, of `n`; something is always shown."""
    splits: list[Split] = []
    for size in (n - 1, n - 2):
        for query in range(n if size > 0 else 0):
            others = [i for i in range(n) if i != query]
            splits += [(shown, query) for shown in combinations(others, size)]
    return splits


def _transforms(tools: DataGeneration, chance: random.Random) -> list[Transform]:
    """Those that the tools stand for, `basic` with one shift for inputs and outputs."""
    shift = transforms.translation(*(chance.randint(1, 4) for _ in range(2)))
    wanted = (
        (tools.use_basic_augmentations, (*transforms.BASIC, shift)),
        (tools.use_size_augmentations, transforms.SIZE),
        (tools.use_chain_augmentations, transforms.CHAIN),
        (tools.use_repeat_augmentations, transforms.REPEAT),
    )
    return [transform for use, group in wanted if use for transform in group]


def _colours(
    chosen: Sequence[Arrays], chance: random.Random, settings: ArcConfig
) -> tuple[int, ...]:
    """What each of the ten colours becomes: a permutation that keeps the background."""
    if settings.colours == "any":
        return (0, *chance.sample(range(1, COLOURS), COLOURS - 1))
    shown = {int(colour) for pair in chosen for side in pair for colour in np.unique(side)}
    used = sorted(shown - {0})
    free = [colour for colour in range(1, COLOURS) if colour not in shown]
    targets = chance.sample(free, len(free)) + chance.sample(used, len(used))
    becomes = dict(zip([0, *used, *free], [0, *targets], strict=True))
    return tuple(becomes[colour] for colour in range(COLOURS))


def _key(pairs: Sequence[Arrays]) -> bytes:
    """The same for the same task and no other."""
    sides = [side for pair in pairs for side in pair]
    shapes = np.array([side.shape for side in sides], dtype=np.uint8)
    return shapes.tobytes() + b"".join(side.tobytes() for side in sides)
