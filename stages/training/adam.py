"""One step of Adam for each slot, clipped by its own norm, asking nothing of the device."""

from collections.abc import Sequence

import torch
from torch.optim.adamw import adamw

from stages.training.products import sent
from stages.training.stack import Stack

MAX_GRAD_NORM = 1.0
BETAS, EPSILON = (0.9, 0.999), 1e-8


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
    if _in_one(stack.values):
        together(stack, moments, excess, rates)
        return
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
            beta1=BETAS[0],
            beta2=BETAS[1],
            lr=rate,
            weight_decay=0.0,
            eps=EPSILON,
            maximize=False,
        )


def _in_one(values: torch.Tensor) -> bool:
    """Whether launches cost more than memory does; in bfloat16 the kernel computes more exactly."""
    return values.is_cuda and values.dtype == torch.float32


def together(
    stack: Stack,
    moments: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    excess: torch.Tensor,
    rates: Sequence[float],
) -> None:
    """The same for all slots at once: as many kernels for sixty-four as for one.

    Made in the gradients' own memory, which has another content afterwards. On a CPU a kernel for
    each slot goes through memory less often, and is faster.
    """
    assert stack.gradients is not None
    n = len(excess)
    values, work = stack.values[:n], stack.gradients[:n]
    first, second, steps = (moment[:n] for moment in moments)
    (lr,) = sent([torch.tensor(rates, dtype=torch.float64)], values.device)
    steps += 1
    one, two = (1 - torch.pow(beta, steps.double()) for beta in BETAS)
    work.div_(excess[:, None])
    first.lerp_(work, 1 - BETAS[0])
    second.mul_(BETAS[1]).addcmul_(work, work, value=1 - BETAS[1])
    torch.sqrt(second, out=work)
    work.div_(two.sqrt().to(work.dtype)[:, None]).add_(EPSILON)
    torch.div(first, work, out=work)
    values.sub_(work.mul_((lr / one).to(work.dtype)[:, None]))
