"""Finetuning of all weights (paper, regime cpt of v2), for as long as a block lasts.

As the released code does it with Hugging Face's Trainer: AdamW without weight decay, a warm-up,
decay to zero, clipping at 1.0. Trained in float32 beside the model's own tensors, which are back
afterwards: 16 bytes per parameter on top of them. Saves nothing.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from stages.errors import RowFailure
from stages.models import LanguageModel
from stages.training import Job, Trained
from stages.training.merge import check_plain
from stages.training.pack import packs
from stages.training.reference import descend

Originals = dict[torch.nn.Parameter, torch.Tensor]


@contextmanager
def finetuned(lm: LanguageModel, job: Job) -> Iterator[tuple[Trained, Originals]]:
    """The model finetuned on the job's rows inside the block; afterwards as before, to the bit.

    Of the job its LoRA (rank, alpha, targets) is passed over. Yields how it went (out of memory or
    a non-finite loss is an error in it, not raised), and the tensors before.
    """
    check_plain(lm.model)
    originals: Originals = {weight: weight.data for weight in lm.model.parameters()}
    start, error = time.perf_counter(), None
    losses: list[float] = []
    try:
        try:
            _fit(lm, job, originals, losses)
        except RowFailure as failure:
            error = failure.message
        except torch.OutOfMemoryError:
            error = f"out of memory finetuning {lm.model.num_parameters()} parameters"
        first, last = (losses[0], losses[-1]) if losses else (None, None)
        seconds = time.perf_counter() - start
        yield Trained(None, len(losses), first, last, seconds, error), originals
    finally:
        for weight, original in originals.items():
            weight.data, weight.grad = original, None
        lm.model.requires_grad_(False)


def _fit(lm: LanguageModel, job: Job, originals: Originals, losses: list[float]) -> None:
    """Train float32 copies in place of the model's tensors, and leave them in its own dtype."""
    packed = packs(lm.model)
    for weight, original in originals.items():
        weight.data = original.float().clone()
        weight.requires_grad_(True)
    descend(lm.model, list(originals), job, lm.device, losses, packed=packed)
    for weight, original in originals.items():
        weight.requires_grad_(False)
        weight.data = weight.data.to(original.dtype)
