"""What training adapters takes of a GPU's memory, from tensor shapes alone.

One estimate for `--slots auto` and for the table in examples/benchmarks/README.md. Rounded up where
it is not exact; what turns out too much the trainer takes back itself.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stages.models import QUANTISED
from stages.training.loss import CHUNK

_BYTES = {"float32": 4.0, "float64": 8.0, QUANTISED: 0.5625}  # 4 bits, a float32 for each 64
# Bytes per number of a LoRA: float32 weight, gradient and Adam's two moments; and two finished ones
# that wait to be examined.
TRAINED, HELD = 16, 4
_WAITING = 2
# Numbers kept for the gradient per number that a layer's linear modules return, beside what the
# LoRAs keep: measured on the meta device (tests/stages/training/test_memory.py).
_KEPT = 1.5
CONTEXT = 1 << 30  # CUDA itself, its libraries' workspaces, what the allocator cannot use
MANY = 8  # slots; with fewer, tokens and time are given up for more of them
# Tokens of a forward, and whether layers compute twice: what the trainer falls back to, in order.
STEPS = ((4096, False), (1024, False), (1024, True), (256, True))


@dataclass(frozen=True)
class Memory:
    """Bytes of a model, of a token and of a slot in training, and of the logits of a chunk.

    `again`: of a token where layers compute twice.
    """

    model: int
    token: int
    again: int
    slot: int
    logits: int


@dataclass(frozen=True)
class Fit:
    """`slots` adapters at once (0: it does not fit) in forwards of `tokens`."""

    slots: int
    tokens: int
    again: bool


def memory_of(
    shapes: Mapping[str, Sequence[int]], targets: Sequence[str], rank: int, dtype: str = "bfloat16"
) -> Memory:
    """What a model of these tensors takes with LoRAs of this rank on these modules."""
    size = 2.0 if dtype == QUANTISED else _BYTES.get(dtype, 2.0)
    inside = dict(_linear(shapes))
    outside = {name: shape for name, shape in shapes.items() if name not in inside}
    adapted = {f"{target}.weight" for target in targets}
    worn = {n: s for n, s in inside.items() if ".".join(n.split(".")[-2:]) in adapted}
    n_layers = len({_layer(name) for name in inside}) or 1
    vocabulary, width = max((s for s in outside.values() if len(s) == 2), default=(1, 1), key=max)
    returned = sum(shape[0] for shape in inside.values())
    taken = sum(n_in for _, n_in in {(_layer(name), shape[1]) for name, shape in worn.items()})
    token = size * (_KEPT * returned + taken) + 4 * rank * len(worn)
    numbers = rank * sum(sum(shape) for shape in worn.values())
    model = _BYTES.get(dtype, 2.0) * sum(map(math.prod, inside.values()))
    model += size * sum(map(math.prod, outside.values()))
    return Memory(
        model=int(model),
        token=int(token + size * 2 * width),
        again=int(size * width * (n_layers + 2) + token / n_layers),
        slot=numbers * (TRAINED + HELD * _WAITING),
        logits=int(min(CHUNK, STEPS[0][0] * vocabulary) * (2 * size + 4)),
    )


def fit(free: int, memory: Memory) -> Fit:
    """The most that this much free memory has room for, the model not loaded yet."""
    found = []
    for tokens, again in STEPS:
        left = free - CONTEXT - memory.model - memory.logits
        left -= tokens * (memory.again if again else memory.token)
        slots = max(0, left // max(1, memory.slot))
        found.append(Fit(slots, tokens, again))
        if slots >= MANY:
            return found[-1]
    return max(found, key=lambda one: one.slots)


def _layer(name: str) -> str:
    found = re.search(r"\.(\d+)\.", name)
    return found[1] if found else ""


def _linear(shapes: Mapping[str, Sequence[int]]) -> Iterator[tuple[str, Sequence[int]]]:
    """The 2-D weights inside numbered layers."""
    for name, shape in shapes.items():
        if len(shape) == 2 and name.endswith(".weight") and _layer(name):
            yield name, shape
