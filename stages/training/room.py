"""How many adapters at once: from the memory that is free, once per run.

Reads sizes from the checkpoint's tensor shapes; loads no model. What turns out too much is taken
back by the trainer and the engine themselves.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stages.models import SMALL_MODEL, find_device
from stages.training.memory import CONTEXT, HELD, STEPS, TRAINED, fit, memory_of

# On a CPU, more slots than 64 brought a small model nothing (`seal bench adapters`). The other two
# are judgement: a large model's matrix products are busy with one job; a GPU has not been measured.
MOST_ON_CPU, MOST_ON_CPU_LARGE = 64, 4
MOST_ON_GPU = 64
# Jobs handed to the trainer at once, per slot: the tail, when slots stand empty, gets short.
JOBS_PER_SLOT = 8
# Numbers a second that training computes, by estimate: of one CPU thread, as the shipped model's
# 0.045 s for a self-edit of 300 tokens in all say; of a GPU half of what an A100 can.
RATE_OF_CPU, RATE_OF_GPU = 3e10, 1.5e14
PASSES = 6  # numbers computed a parameter and token, forward and backward


@dataclass(frozen=True)
class Room:
    """`slots` adapters in training at once, out of `jobs` that are handed over together.

    `rate`: how many tokens are trained on in a second, by estimate.
    """

    slots: int
    jobs: int
    rate: float = field(default=math.inf, compare=False)


def room(
    wanted: int | None,
    shapes: Mapping[str, Sequence[int]],
    targets: Sequence[str],
    rank: int,
    device: str = "auto",
    dtype: str = "bfloat16",
) -> Room:
    """The slots that were asked for, or (for None) as many as suit the model and free memory."""
    import torch

    adapted = {f"{target}.weight" for target in targets}
    inside = (s for name, s in shapes.items() if ".".join(name.split(".")[-2:]) in adapted)
    numbers = rank * sum(sum(shape) for shape in inside)
    n_parameters = sum(math.prod(shape) for shape in shapes.values())
    place = find_device(device)  # asked before the model is loaded, which would refuse it
    free = _free_memory() // 4
    if place.startswith("cuda"):
        on_gpu, _ = torch.cuda.mem_get_info(place if ":" in place else None)
        memory = memory_of(shapes, targets, rank, dtype)
        fitting = min(MOST_ON_GPU, fit(on_gpu, memory).slots)
        # Results wait on the device: in what is left beside model, slots and a small forward.
        used = CONTEXT + memory.model + memory.logits + (wanted or fitting) * memory.slot
        free = min(free, on_gpu - used - STEPS[1][0] * memory.token)
    else:
        most = MOST_ON_CPU if n_parameters < SMALL_MODEL else MOST_ON_CPU_LARGE
        # Half of the memory is for what they compute.
        fitting = min(most, _free_memory() // 2 // max(1, numbers * TRAINED))
    slots = wanted or max(1, fitting)
    computed = RATE_OF_GPU if place.startswith("cuda") else RATE_OF_CPU
    rate = computed / (PASSES * max(1, n_parameters))
    if slots == 1:  # one at a time, and the result is kept at once
        return Room(1, 1, rate)
    held = free // max(1, numbers * HELD)
    return Room(slots, max(slots, min(JOBS_PER_SLOT * slots, held)), rate)


def _free_memory() -> int:
    """Bytes of main memory that nobody uses, caches counted as used."""
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
