"""One step of Adam for each slot, clipped by its own norm, asking nothing of the device."""

from collections.abc import Sequence

import torch
from torch.optim.adamw import adamw

from stages.training.stack import Stack

MAX_GRAD_NORM = 1.0


def descend(
    stack: Stack,
    moments: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    norms: torch.Tensor,
    rates: Sequence[float],
) -> None:
    """As torch.optim.AdamW does by default and clip_grad_norm_ before it, slot by slot.

    `moments`: first and second [slots, numbers], and steps made [slots]; `norms` [active slots] of
    the gradients; `rates`: of learning.
    """
    assert stack.gradients is not None
    first, second, steps = moments
    # Not a number stays one and spoils its own slot, as it must.
    excess = ((norms + 1e-6) / MAX_GRAD_NORM).clamp(min=1)
    inside = excess.dtype == torch.float32  # the kernel divides by it, in the same pass
    if not inside:
        stack.gradients[: len(excess)].div_(excess[:, None])
    for slot, rate in enumerate(rates):
        adamw(
            [stack.values[slot]],
            [stack.gradients[slot]],
            [first[slot]],
            [second[slot]],
            [],
            [steps[slot]],
            fused=True,
            grad_scale=excess[slot] if inside else None,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
