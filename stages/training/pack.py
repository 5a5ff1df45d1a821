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
from stages.training.products import sent
from stages.training.varlen import HALF, rows_of_any_length

# Tokens of one forward and backward; a step with more is cut between rows, never inside one.
MAX_TOKENS = 4096
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

    `lengths`: per row, the tokens that may be looked at. `hides`: whether that is fewer than the
    row has.
    """

    width: int
    lengths: torch.Tensor
    hides: bool

    def mask(self, window: int | None) -> torch.Tensor | None:
        """True [rows, 1, width, width] where a query may look; None when being causal says it."""
        window = self.width if window is None else window
        if window >= self.width and not self.hides:
            return None
        at = torch.arange(self.width, device=self.lengths.device)
        back = at[:, None] - at[None, :]
        seen = (back >= 0) & (back < window)
        return seen[None, None] & (at < self.lengths[:, None])[:, None, None, :]


@dataclass(frozen=True)
class Pack:
    """Rows end to end without their last tokens: `ids` and `positions` [1, tokens], in order.

    Nothing comes after a row's last token, so it is only a target and never read.

    `predicting` [targets]: the tokens whose next one is learned; `targets` [targets]: those next
    ones; `rows` [targets]: which row each is in.
    `gather` [padded]: which token stands where in the buckets, one bucket after the other. Padding
    repeats the row's own last token, so that nothing of another row is near; being causal,
    attention shows it to no token that counts. `places` [tokens]: where each token stands there.

    `ends` [rows + 1], int32: where rows begin and end, for attention that takes rows of any length
    as they lie; then there are no buckets. `longest`: tokens of the longest row.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    predicting: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    buckets: tuple[Bucket, ...]
    gather: torch.Tensor
    places: torch.Tensor
    ends: torch.Tensor | None = None
    longest: int = 0


def pack(rows: Sequence[Row], device: Any = "cpu", *, varlen: bool = False) -> Pack:
    """Put rows, in this order, into one sequence. `varlen`: without buckets, if no row hides."""
    lengths = [n_read(row) for row in rows]
    starts = list(itertools.accumulate(lengths, initial=0))
    ids, following = (
        torch.tensor(list(itertools.chain.from_iterable(row.ids[part] for row in rows)))
        for part in (slice(-1), slice(1, None))
    )
    row_of = torch.repeat_interleave(torch.tensor(lengths))
    positions = torch.arange(starts[-1]) - torch.tensor(starts)[row_of]
    learned = (range(max(row.first_target, 1) - 1, n_read(row)) for row in rows)
    pairs = zip(learned, starts, strict=False)
    predicting = torch.tensor([start + i for at, start in pairs for i in at])
    tokens = [ids[None], positions[None], predicting, following[predicting], row_of[predicting]]
    if varlen and not any(row.n_real < n_read(row) for row in rows):
        there = sent([*tokens, torch.tensor(starts)], device)
        nowhere = there[0].new_empty(0)
        return _packed_of(there, (), nowhere, nowhere, there[5].to(torch.int32), max(lengths))
    split = list(_split_by_length(lengths))
    gather, begins = _side_by_side(lengths, starts, split)
    real = [torch.tensor([rows[i].n_real for i in chosen]) for chosen in split]
    there = sent([*tokens, gather, begins[row_of] + positions, *real], device)
    buckets = tuple(
        Bucket(
            max(lengths[i] for i in chosen),
            seen,
            hides=any(rows[i].n_real < lengths[i] for i in chosen),
        )
        for chosen, seen in zip(split, there[7:], strict=True)
    )
    return _packed_of(there, buckets, there[5], there[6])


def _packed_of(tokens: Sequence[torch.Tensor], *attention: Any) -> Pack:
    ids, positions, predicting, targets, rows = tokens[:5]
    return Pack(ids, positions, predicting, targets, rows, *attention)


def cut(rows: Sequence[Row], max_tokens: int = MAX_TOKENS) -> Iterator[list[Row]]:
    """The rows in order, as many together as have that many tokens (a longer row alone)."""
    piece: list[Row] = []
    n_tokens = 0
    for row in rows:
        if piece and n_tokens + n_read(row) > max_tokens:
            yield piece
            piece, n_tokens = [], 0
        piece.append(row)
        n_tokens += n_read(row)
    yield piece


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


def _side_by_side(
    lengths: Sequence[int], starts: Sequence[int], split: Sequence[Sequence[int]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`gather` of a `Pack`, and where each row begins among the buckets."""
    gather, begins, begin = [], torch.empty(len(lengths), dtype=torch.long), 0
    for chosen in split:
        width = max(lengths[i] for i in chosen)
        length, start = (torch.tensor([n[i] for i in chosen])[:, None] for n in (lengths, starts))
        gather.append((start + torch.minimum(torch.arange(width)[None], length - 1)).flatten())
        begins[torch.tensor(chosen)] = begin + torch.arange(len(chosen)) * width
        begin += len(chosen) * width
    return torch.cat(gather), begins


class _SideBySide(torch.autograd.Function):
    """Tokens [tokens, ...] -> [padded, ...]; no gradient comes back from padding."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, packed: Pack) -> torch.Tensor:
        ctx.packed = packed
        return tokens.index_select(0, packed.gather)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0].index_select(0, ctx.packed.places), None


class _EndToEnd(torch.autograd.Function):
    """[padded, ...] -> tokens [tokens, ...]; padding gets exact zeros back."""

    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, packed: Pack) -> torch.Tensor:
        ctx.packed = packed
        return padded.index_select(0, packed.places)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        packed: Pack = ctx.packed
        zeros = gradients[0].new_zeros(len(packed.gather), *gradients[0].shape[1:])
        return zeros.index_copy_(0, packed.places, gradients[0]), None


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
    if packed.ends is not None:
        return rows_of_any_length(
            (query, key, value), packed.ends, packed.longest, scaling, sliding_window
        ), None
    sizes = [len(bucket.lengths) * bucket.width for bucket in packed.buckets]
    query, key, value = (
        _SideBySide.apply(x.squeeze(0).transpose(0, 1), packed).split(sizes)  # type: ignore[no-untyped-call]
        for x in (query, key, value)
    )
    out = [
        _attend(bucket, each, scaling, sliding_window)
        for bucket, *each in zip(packed.buckets, query, key, value, strict=True)
    ]
    return _EndToEnd.apply(torch.cat(out), packed)[None], None  # type: ignore[no-untyped-call]


def _attend(
    bucket: Bucket, flat: Sequence[torch.Tensor], scaling: float | None, window: int | None
) -> torch.Tensor:
    """Attention within each row of a bucket: [rows * width, heads, width of a head]."""
    query, key, value = (x.view(-1, bucket.width, *x.shape[1:]).transpose(1, 2) for x in flat)
    mask = bucket.mask(window)
    shared = query.shape[1] // key.shape[1]
    # With a mask, or in float32 on a GPU, the fast kernels want them one to one.
    if shared > 1 and (mask is not None or (query.is_cuda and query.dtype not in HALF)):
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
    return out.transpose(1, 2).flatten(0, 1)


def packs(model: Any, *, varlen: bool = False) -> bool:
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
        trials = ([one, other], [changed, other], [other])
        said = [_logits(model, rows, varlen=varlen) for rows in trials]
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
def _logits(model: Any, rows: Sequence[Row], *, varlen: bool) -> torch.Tensor:
    """What the model makes of the last of these packed rows."""
    packed = pack(rows, model.device, varlen=varlen)
    with attending(model, packed):
        out = model(input_ids=packed.ids, position_ids=packed.positions, use_cache=False)
    return out.logits[0, -n_read(rows[-1]) :]  # type: ignore[no-any-return]
