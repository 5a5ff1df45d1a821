"""-log p of the targets of packed rows, without the logits of all of them at once.

The gradient of a token's loss reaches back to that token's own vector alone. So it is made beside
the loss, some tokens at a time, and only scaled when the gradient comes: of the logits (4,096 times
152,064 in float32 are 2.5 GB, and as much again for each step of the softmax) there is one chunk.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from stages.tokens import Row
from stages.training.attach import widened
from stages.training.pack import Pack, attending, pack

CHUNK = 1 << 26  # logits at once: 256 MiB in float32
# What an architecture without a head of that kind, or without a body apart, raises.
_UNUSUAL = (AttributeError, IndexError, RuntimeError, TypeError, ValueError)


def row_losses(model: Any, rows: Sequence[Row]) -> tuple[torch.Tensor, ...]:
    """-log p of each target of each row, all rows in one forward."""
    packed = pack(rows, model.device)
    return torch.split(target_losses(model, packed, None), [row.n_targets for row in rows])


def target_losses(model: Any, packed: Pack, head: Any) -> torch.Tensor:
    """-log p [targets]. `head`: what `plain_head` found; None makes all logits at once."""
    asked = {"input_ids": packed.ids, "position_ids": packed.positions, "use_cache": False}
    with attending(model, packed):
        if head is None:
            logits = model(**asked, logits_to_keep=packed.predicting).logits[0]
            return F.cross_entropy(widened(logits), packed.targets, reduction="none")
        hidden = model.base_model(**asked).last_hidden_state[0]
    found: torch.Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call]
        hidden.index_select(0, packed.predicting), head, packed.targets
    )
    return found


@torch.no_grad()
def plain_head(model: Any) -> Any:
    """The layer that makes logits of the body's last vectors and is all that makes them, or None.

    Tried on a row: some architectures scale or bend what the layer says.
    """
    packed = pack(
        [Row(tuple(i % model.config.vocab_size for i in range(1, 7)), 0, 6)], model.device
    )
    asked = {"input_ids": packed.ids, "position_ids": packed.positions, "use_cache": False}
    try:
        head = model.get_output_embeddings()
        with attending(model, packed):
            said = model(**asked).logits
            apart = head(model.base_model(**asked).last_hidden_state)
    except _UNUSUAL:
        return None
    plain = isinstance(head, torch.nn.Linear) and head.bias is None and torch.equal(said, apart)
    return head if plain else None


class _HeadLoss(torch.autograd.Function):
    """Vectors [targets, width] -> -log p [targets] of their targets under a frozen head."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, head: Any, targets: torch.Tensor) -> torch.Tensor:
        losses, gradients = [], torch.empty_like(hidden)
        n = max(1, CHUNK // len(head.weight))
        for chunk, wanted, place in zip(
            *(torch.split(x, n) for x in (hidden, targets[:, None], gradients)), strict=True
        ):
            # Not logits minus their logsumexp: that loses what a confident token's gradient is.
            log_p = F.log_softmax(widened(head(chunk)), dim=1)
            losses.append(-log_p.gather(1, wanted)[:, 0])
            p = log_p.exp_()
            p.scatter_add_(1, wanted, p.new_full(wanted.shape, -1.0))
            torch.mm(p.to(hidden.dtype), head.weight, out=place)
        ctx.save_for_backward(gradients)
        return torch.cat(losses)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (each,) = ctx.saved_tensors
        return (each * gradients[0][:, None]).to(each.dtype), None, None
