"""The tiny grid world: 3x3 grids, rules that move their colours, and the habit of choosing tools.

What it is: a deterministic generator. A rule says for corners, edges and the centre where their
new colour comes from; it commutes with quarter turns, and a reflection turns it into another of
the 49. Rules are met in pretraining as often as their parts are (`CORNERS`, `EDGES`), from very
often to hardly ever: the model half knows those in between. A task is four demonstrations of one
rule and four grids to be turned into others. The habit writes a self-edit with every choice drawn
at random, without a look at the task.

What it is not: a stage, a grader or a reward. Nothing in the RL loop imports this file or knows
that rules or good choices exist.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stages.domains.arc.grids import Grid

COLOURS = range(1, 10)  # 0 stands for a cell that was emptied
DEMONSTRATIONS = 4
TESTS = 4

CLOCKWISE_CORNERS = (0, 2, 8, 6)  # cells are counted row by row
CLOCKWISE_EDGES = (1, 5, 7, 3)
CENTRE = 4

# Where a corner gets its colour from, and how often in pretraining.
CORNERS = {"stays": 8.0, "opposite": 4.0, "next": 2.0, "emptied": 1.0, "before": 0.5}
# The same of an edge; what is common here is rare there.
EDGES = {"stays": 8.0, "before": 4.0, "emptied": 2.0, "opposite": 1.0, "next": 0.5}
CENTRES = {"stays": 2.0, "emptied": 1.0}


@dataclass(frozen=True, slots=True)
class Rule:
    """For each of the nine cells the cell its colour comes from; None empties it."""

    name: str
    sources: tuple[int | None, ...]

    def apply(self, cells: tuple[int, ...]) -> tuple[int, ...]:
        """Nine colours -> nine colours."""
        return tuple(0 if source is None else cells[source] for source in self.sources)


def rules() -> dict[Rule, float]:
    """Every rule but the one that changes nothing, and how often it is met in pretraining."""
    found = {}
    for corner, often_corner in CORNERS.items():
        for edge, often_edge in EDGES.items():
            for centre, often_centre in CENTRES.items():
                if (corner, edge, centre) != ("stays", "stays", "stays"):
                    rule = _rule(corner, edge, centre)
                    found[rule] = often_corner * often_edge * often_centre
    return found


def _rule(corner: str, edge: str, centre: str) -> Rule:
    sources: list[int | None] = [None] * 9
    for ring, part in ((CLOCKWISE_CORNERS, corner), (CLOCKWISE_EDGES, edge)):
        for i, cell in enumerate(ring):
            sources[cell] = {
                "stays": cell,
                "opposite": ring[(i + 2) % 4],
                "next": ring[(i + 1) % 4],
                "before": ring[i - 1],
                "emptied": None,
            }[part]
    sources[CENTRE] = CENTRE if centre == "stays" else None
    return Rule(f"corner {corner}, edge {edge}, centre {centre}", tuple(sources))


def pair(rule: Rule, rng: random.Random) -> tuple[Grid, Grid]:
    """A grid of the nine colours in random order and what the rule makes of it."""
    cells = tuple(rng.sample(COLOURS, 9))
    return _grid(cells), _grid(rule.apply(cells))


def _grid(cells: tuple[int, ...]) -> Grid:
    return cells[0:3], cells[3:6], cells[6:9]


def task(name: str, rule: Rule, rng: random.Random, split: str) -> dict[str, Any]:
    """A task as `seal import contexts --domain arc` reads it."""
    pairs = [pair(rule, rng) for _ in range(DEMONSTRATIONS + TESTS)]
    listed = [{"input": before, "output": after} for before, after in pairs]
    return {
        "title": name,
        "split": split,
        "train": listed[:DEMONSTRATIONS],
        "test": listed[DEMONSTRATIONS:],
    }


TRAIN_TASKS = 40
EVAL_TASKS = 50


def half_known() -> list[Rule]:
    """The rules of all tasks: those that move the edges in the direction seldom met.

    Chosen once the model was there: these ten it solves in context in 6 to 31 of 100 cases, all
    others in 84 or more (`pretrain.py --probe`). The tasks themselves were not looked at.
    """
    return [rule for rule in rules() if "edge next" in rule.name]


def tasks(split: str) -> list[dict[str, Any]]:
    """The tasks of a split: rules in turn, grids of their own."""
    known = half_known()
    rng = random.Random({"train": 20261122, "eval": 20261126}[split])
    n_tasks = {"train": TRAIN_TASKS, "eval": EVAL_TASKS}[split]
    return [task(f"{split}-{i:02}", known[i % len(known)], rng, split) for i in range(n_tasks)]


TOOLS = (
    "use_basic_augmentations",
    "use_size_augmentations",
    "use_chain_augmentations",
    "use_repeat_augmentations",
)
# The untrained habit chooses without a look at the task. One self-edit is written lavishly (most
# tools, all tokens), another sparingly: five choices that go together, or the model would never
# need to tell `true` from `false` and RL had nothing to hold on to. The numbers are drawn alone.
LAVISH = (0.2, 0.8)
HABIT: dict[str, Mapping[float, float]] = {
    "learning_rate": {0.00001: 0.25, 0.0001: 0.25, 0.001: 0.45, 0.01: 0.05},
    "num_train_epochs": {1: 0.34, 2: 0.33, 4: 0.33},
}


def self_edit(rng: random.Random) -> str:
    """A tool call by the habit."""
    lavish = rng.choice(LAVISH)
    tools = {tool: rng.random() < lavish for tool in TOOLS}
    tokens = "all" if rng.random() < lavish else "output"
    rate, epochs = (rng.choices(list(s), list(s.values()))[0] for s in HABIT.values())
    return tool_call(f"train_using_{tokens}_tokens", rate, int(epochs), **tools)


def tool_call(strategy: str, learning_rate: float, num_train_epochs: int, **tools: bool) -> str:
    """A self-edit as the domain reads it."""
    training = {
        "strategy": strategy,
        "learning_rate": learning_rate,
        "num_train_epochs": num_train_epochs,
    }
    return json.dumps({"data_generation": tools, "training": training})
