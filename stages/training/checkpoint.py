"""Layers that forget what they computed and compute it again for their gradient."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch.utils.checkpoint import checkpoint

from stages.training.pack import Pack, attending


@contextmanager
def checkpointed(model: Any, packed: Pack) -> Iterator[int]:
    """The model whose layers (how many) keep only their input, for one forward of these rows.

    A third more to compute. The backward may come after the block: a layer that computes again
    attends to the same rows.
    """

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), attending(model, packed)

    layers = list(forgettable(model))
    for layer in layers:
        layer.forward = partial(
            checkpoint,
            layer.forward,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=contexts,
        )
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def forgettable(model: Any) -> Iterator[Any]:
    """The layers of a model that can be computed again."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return (m for m in model.modules() if isinstance(m, GradientCheckpointingLayer))
