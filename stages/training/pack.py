"""Many rows as one sequence without padding, and the attention that keeps them apart.

Linear layers see the tokens end to end; attention puts the rows side by side, rows of like length
together. Knows nothing of adapters.
"""

import inspect
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from stages.tokens import Row

ATTENTION = "seal_packed"  # its name among transformers' attention functions
# A bucket holds rows of at least this share of its longest: fewer buckets pad more in attention,
# more of them make more calls.
SHORTEST = 0.5
# What some architectures ask of their attention and this one does not do.
_UNKNOWN = ("softcap", "s_aux", "position_bias")


class CannotPack(Exception):
    """The model's attention is not one that rows can be packed for."""


@dataclass(frozen=True)
class Bucket:
    """Rows of like length, side by side, padded on the right to `width` tokens.

    `gather` [rows * width]: which token stands where. Padding repeats the row's own last token, so
    that nothing of another row is near; being causal, attention shows it to no token that counts.
    `places` [tokens]: where the real tokens stand. `lengths`: per row, the tokens that may be
    looked at. `hides`: whether that is fewer than the row has.
    """

    width: int
    gather: torch.Tensor
    places: torch.Tensor
    lengths: torch.Tensor
    hides: bool

    def mask(self, window: int | None) -> torch.Tensor | None:
        """True [rows, 1, width, width] where a query may look; None when being causal says it."""
        window = self.width if window is None else window
        if window >= self.width and not self.hides:
            return None
        at = torch.arange(self.width, device=self.gather.device)
        back = at[:, None] - at[None, :]
        seen = (back >= 0) & (back < window)
        return seen[None, None] & (at < self.lengths[:, None])[:, None, None, :]


@dataclass(frozen=True)
class Pack:
    """Rows end to end without their last tokens: `ids` and `positions` [1, tokens], in order.

    Nothing comes after a row's last token, so it is only a target and never read.

    `predicting` [targets]: the tokens whose next one is learned; `targets` [targets]: those next
    ones; `rows` [targets]: which row each is in.
    `order` puts what the buckets return, one after the other, back into the order of the tokens.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    predicting: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    buckets: tuple[Bucket, ...]
    order: torch.Tensor | None


def pack(rows: Sequence[Row], device: Any = "cpu") -> Pack:
    """Put rows, in this order, into one sequence."""
    lengths = [n_read(row) for row in rows]
    starts = list(itertools.accumulate(lengths, initial=0))
    ids, following = (
        torch.tensor(list(itertools.chain.from_iterable(row.ids[part] for row in rows)))
        for part in (slice(-1), slice(1, None))
    )
    at = torch.arange(starts[-1])
    row_of = torch.repeat_interleave(torch.tensor(lengths))
    positions = at - torch.tensor(starts)[row_of]
    first = torch.tensor([row.first_target for row in rows])
    predicting = (positions + 1 >= first[row_of]).nonzero()[:, 0]
    split = list(_split_by_length(lengths))
    buckets = tuple(_bucket(rows, chosen, starts, device) for chosen in split)
    order = None
    if len(split) > 1:
        came = torch.cat([at[starts[i] : starts[i + 1]] for chosen in split for i in chosen])
        order = came.argsort().to(device)
    return Pack(
        ids[None].to(device),
        positions[None].to(device),
        predicting.to(device),
        following[predicting].to(device),
        row_of[predicting].to(device),
        buckets,
        order,
    )


def n_read(row: Row) -> int:
    """How many of a row's tokens go into the model."""
    return len(row.ids) - 1


def _split_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of rows, cut where the next row is much shorter than the longest before it."""
    chosen: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if chosen and lengths[i] < SHORTEST * lengths[chosen[0]]:
            yield sorted(chosen)
            chosen = []
        chosen.append(i)
    yield sorted(chosen)


def _bucket(
    rows: Sequence[Row], chosen: Sequence[int], starts: Sequence[int], device: Any
) -> Bucket:
    lengths = torch.tensor([n_read(rows[i]) for i in chosen])
    width = int(lengths.max())
    at = torch.arange(width)
    begin = torch.tensor([starts[i] for i in chosen])
    gather = begin[:, None] + torch.minimum(at[None, :], lengths[:, None] - 1)
    places = (at[None, :] < lengths[:, None]).flatten().nonzero()[:, 0]
    return Bucket(
        width,
        gather.flatten().to(device),
        places.to(device),
        torch.tensor([rows[i].n_real for i in chosen], device=device),
        hides=any(rows[i].n_real < n_read(rows[i]) for i in chosen),
    )


class _SideBySide(torch.autograd.Function):
    """Tokens [tokens, ...] -> [rows * width, ...]; no gradient comes back from padding."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, bucket: Bucket, whole: bool) -> torch.Tensor:
        ctx.bucket, ctx.whole, ctx.n_tokens = bucket, whole, len(tokens)
        return tokens.index_select(0, bucket.gather)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        real = gradients[0].index_select(0, ctx.bucket.places)
        if ctx.whole:
            return real, None, None
        tokens = ctx.bucket.gather.index_select(0, ctx.bucket.places)
        shape = (ctx.n_tokens, *real.shape[1:])
        return real.new_zeros(shape).index_copy_(0, tokens, real), None, None


class _EndToEnd(torch.autograd.Function):
    """[rows * width, ...] -> the bucket's tokens [tokens, ...]; padding gets exact zeros back."""

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, bucket: Bucket) -> torch.Tensor:
        ctx.bucket, ctx.n_places = bucket, len(padded)
        return padded.index_select(0, bucket.places)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        shape = (ctx.n_places, *gradients[0].shape[1:])
        zeros = gradients[0].new_zeros(shape)
        return zeros.index_copy_(0, ctx.bucket.places, gradients[0]), None


_packed: ContextVar[Pack] = ContextVar("packed")


@contextmanager
def attending(model: Any, packed: Pack) -> Iterator[None]:
    """The model with attention that keeps these packed rows apart; afterwards with its own.

    A name that transformers knows no mask for gets none made: the rows are kept apart here alone.
    """
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, _attention)
    before, token = model.config._attn_implementation, _packed.set(packed)
    model.config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        model.config._attn_implementation = before
        _packed.reset(token)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **further: Any,
) -> tuple[torch.Tensor, None]:
    """[1, heads, tokens, width of a head] each -> [1, tokens, heads, width of a head]."""
    if attention_mask is not None or any(further.get(name) is not None for name in _UNKNOWN):
        raise CannotPack
    packed = _packed.get()
    flat = [x[0].transpose(0, 1) for x in (query, key, value)]
    whole = packed.order is None
    out = [_attend(bucket, flat, whole, scaling, sliding_window) for bucket in packed.buckets]
    if packed.order is None:
        return out[0][None], None
    return torch.cat(out).index_select(0, packed.order)[None], None


def _attend(
    bucket: Bucket,
    flat: Sequence[torch.Tensor],
    whole: bool,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Attention within each row of a bucket: [tokens, heads, width of a head] of its tokens."""
    query, key, value = (
        _SideBySide.apply(x, bucket, whole)  # type: ignore[no-untyped-call]
        .view(-1, bucket.width, *x.shape[1:])
        .transpose(1, 2)
        for x in flat
    )
    mask = bucket.mask(window)
    shared = query.shape[1] // key.shape[1]
    if shared > 1 and mask is not None:  # with a mask, the fast kernels want them one to one
        key, value = (x.repeat_interleave(shared, dim=1) for x in (key, value))
        shared = 1
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=shared > 1,
    )
    flat_out: torch.Tensor = _EndToEnd.apply(out.transpose(1, 2).flatten(0, 1), bucket)  # type: ignore[no-untyped-call]
    return flat_out


def packs(model: Any) -> bool:
    """Whether rows of this model can be packed: tried on two rows of six tokens.

    The second row must come out the same to the last bit whatever the first one says, and as it
    does alone: an architecture that mixes tokens in a way unknown here is found out so. And no
    layer may be passed twice, as in models that share layers: their gradients would be lost.
    """
    accepted = inspect.signature(model.forward).parameters
    if not {"position_ids", "logits_to_keep"} <= accepted.keys():
        return False
    one, changed, other = (
        Row(tuple((start + i) % model.config.vocab_size for i in range(6)), 0, 6)
        for start in (1, 8, 15)
    )
    calls: Counter[Any] = Counter()
    handles = [
        module.register_forward_hook(lambda m, *_: calls.update([m])) for module in model.modules()
    ]
    try:
        said = [_logits(model, rows) for rows in ([one, other], [changed, other], [other])]
    except (CannotPack, AttributeError, IndexError, RuntimeError, TypeError, ValueError):
        # Or what the model's own code raises where it wants a mask (Falcon) or one row alone.
        return False
    finally:
        for handle in handles:
            handle.remove()
    layers = [m for m in calls if getattr(getattr(m, "weight", None), "ndim", 0) == 2]
    if any(calls[layer] > len(said) for layer in layers):
        return False
    tolerance = torch.finfo(model.dtype).eps ** 0.5 * said[2].abs().max()
    return bool(torch.equal(said[0], said[1]) and (said[0] - said[2]).abs().max() <= tolerance)


@torch.no_grad()
def _logits(model: Any, rows: Sequence[Row]) -> torch.Tensor:
    """What the model makes of the last of these packed rows."""
    packed = pack(rows, model.device)
    with attending(model, packed):
        out = model(input_ids=packed.ids, position_ids=packed.positions, use_cache=False)
    return out.logits[0, -n_read(rows[-1]) :]  # type: ignore[no-any-return]
