"""One LoRA trained inside the weights that it adapts, where that is fewer products.

What adapts a small layer costs more than the layer: of rank 64 on 128 x 128, six products of half
its size for a token, beside two of its own. Here a step's weights are W + scale * B A; their
gradient is one product of a token, and those of A and B follow from it. Else as `Stack.worn`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch

from stages.training.stack import Site, Stack


def pays(stack: Stack) -> bool:
    """Whether it is fewer products for every token, and the layers are plain ones of a CPU.

    Of a LoRA six times rank * (in + out) / 2, here in * out.
    """
    return (
        len(stack.values) == 1
        and stack.device.type == "cpu"
        and all(
            type(site.module) is torch.nn.Linear
            and site.module.weight.dtype == stack.dtype == stack.values.dtype
            and site.n_in * site.n_out < 3 * stack.rank * (site.n_in + site.n_out)
            for site in stack.sites
        )
    )


class Fold:
    """The weights as they were, and what takes the gradients of those in their place."""

    def __init__(self, stack: Stack) -> None:
        self.stack, anchor = stack, torch.zeros((), requires_grad=True)
        self.before = [site.module.weight.data for site in stack.sites]
        for site, weight in zip(stack.sites, self.before, strict=True):
            site.module.weight.data = weight.clone()

        def hook(site: Site, _: Any, inputs: tuple[torch.Tensor], output: torch.Tensor) -> Any:
            return _Watched.apply(inputs[0], output, anchor, stack, site)  # type: ignore[no-untyped-call]

        self.handles = [s.module.register_forward_hook(partial(hook, s)) for s in stack.sites]

    def renew(self) -> None:
        """Put what the LoRA holds by now into the weights."""
        scale = float(self.stack.scaling[0, 0])
        for site, weight in zip(self.stack.sites, self.before, strict=True):
            a, b = site.a(self.stack.values)[0], site.b(self.stack.values)[0]
            torch.addmm(weight, b, a, alpha=scale, out=site.module.weight.data)

    def end(self) -> None:
        """The weights are as before."""
        for handle in self.handles:
            handle.remove()
        for site, weight in zip(self.stack.sites, self.before, strict=True):
            site.module.weight.data = weight


@contextmanager
def folded(stack: Stack) -> Iterator[Fold]:
    """The model with the one LoRA in its weights inside the block; then as before, to the bit."""
    fold = Fold(stack)
    try:
        yield fold
    finally:
        fold.end()


class _Watched(torch.autograd.Function):
    """A layer's output as it is; what its gradient says of A and B goes into the stack."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, output: torch.Tensor, _: torch.Tensor, stack: Stack, site: Site
    ) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.stack, ctx.site = stack, site
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        stack, site, (x,) = ctx.stack, ctx.site, ctx.saved_tensors
        whole = gradients[0].reshape(-1, site.n_out).t() @ x.reshape(-1, site.n_in)
        a, b = site.a(stack.values)[0], site.b(stack.values)[0]
        scale, keep = float(stack.scaling[0, 0]), 0.0 if stack.fresh else 1.0
        site.b(stack.gradients)[0].addmm_(whole, a.t(), beta=keep, alpha=scale)
        site.a(stack.gradients)[0].addmm_(b.t(), whole, beta=keep, alpha=scale)
        return None, gradients[0], None, None, None
