"""How many adapters at once: from the memory that is free, once per run.

Reads sizes from the checkpoint's tensor shapes; loads no model. What turns out too much is taken
back by the trainer and the engine themselves.
"""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stages.models import SMALL_MODEL, find_device

# On a CPU, more slots than 64 brought a small model nothing (`seal bench adapters`). The other two
# are judgement: a large model's matrix products are busy with one job; a GPU has not been measured.
MOST_ON_CPU, MOST_ON_CPU_LARGE = 64, 4
MOST_ON_GPU = 64
# Jobs handed to the trainer at once, per slot: the tail, when slots stand empty, gets short.
JOBS_PER_SLOT = 8
# Bytes per number of a LoRA in training: float32 weight, gradient and Adam's two moments, and the
# copy in the model's dtype.
_TRAINED, _HELD = 18, 4


@dataclass(frozen=True)
class Room:
    """`slots` adapters in training at once, out of `jobs` that are handed over together."""

    slots: int
    jobs: int


def room(
    wanted: int | None,
    shapes: Mapping[str, Sequence[int]],
    targets: Sequence[str],
    rank: int,
    device: str = "auto",
) -> Room:
    """The slots that were asked for, or (for None) as many as suit the model and free memory."""
    adapted = {f"{target}.weight" for target in targets}
    inside = (s for name, s in shapes.items() if ".".join(name.split(".")[-2:]) in adapted)
    numbers = rank * sum(sum(shape) for shape in inside)
    n_parameters = sum(math.prod(shape) for shape in shapes.values())
    slots = wanted or _fitting(numbers, n_parameters, device)
    if slots == 1:  # one at a time, and the result is kept at once
        return Room(1, 1)
    held = int(_free_memory() / 4 / max(1, numbers * _HELD))
    return Room(slots, max(slots, min(JOBS_PER_SLOT * slots, held)))


def _fitting(numbers: int, n_parameters: int, device: str) -> int:
    """Half of the free memory for LoRAs in training: the other half is for what they compute."""
    import torch

    place = find_device(device)  # asked before the model is loaded, which would refuse it
    if place.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info(place if ":" in place else None)
        # Two bytes a parameter for the base model, which is not loaded yet.
        most, free = MOST_ON_GPU, free - 2 * n_parameters
    else:
        most = MOST_ON_CPU if n_parameters < SMALL_MODEL else MOST_ON_CPU_LARGE
        free = _free_memory()
    return max(1, min(most, int(free / 2 / max(1, numbers * _TRAINED))))


def _free_memory() -> int:
    """Bytes of main memory that nobody uses, caches counted as used."""
    pages = "SC_AVPHYS_PAGES" if "SC_AVPHYS_PAGES" in os.sysconf_names else "SC_PHYS_PAGES"
    return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
