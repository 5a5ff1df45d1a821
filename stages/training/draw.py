"""What an adapter is before its first step: drawn on the CPU, the same on every device."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch


def first_a(shapes: Mapping[str, Sequence[int]], seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """A [rank, in] of each module, uniform within 1/sqrt(in) (PEFT's Kaiming bound).

    Drawn on the CPU, by the seed, in the order of the modules' names.
    """
    generator = torch.Generator().manual_seed(seed)
    for name, shape in sorted(shapes.items()):
        bound = 1 / math.sqrt(shape[1])
        yield name, torch.empty(shape).uniform_(-bound, bound, generator=generator)
