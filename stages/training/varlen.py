"""Attention by one kernel over rows of any length, as they lie: torch's, on a GPU alone."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch

HALF = (torch.float16, torch.bfloat16)  # what the kernel takes


def rows_of_any_length(
    of: Sequence[torch.Tensor],
    ends: torch.Tensor,
    longest: int,
    scaling: float | None,
    window: int | None,
) -> torch.Tensor:
    """Causal attention within each row: [1, heads, tokens, width] -> [1, tokens, heads, width].

    `of`: query, key and value; `ends` [rows + 1], int32: where rows begin and end.
    """
    from torch.nn.attention.varlen import varlen_attn

    query, key, value = (x.squeeze(0).transpose(0, 1) for x in of)
    shared = query.shape[1] // key.shape[1]
    more: dict[str, Any] = {}
    if "enable_gqa" in inspect.signature(varlen_attn).parameters:
        more["enable_gqa"] = shared > 1
    elif shared > 1:  # torch 2.11
        key, value = (x.repeat_interleave(shared, dim=1) for x in (key, value))
    back = -1 if window is None or window >= longest else window - 1
    out = varlen_attn(
        query,
        key,
        value,
        ends,
        ends,
        longest,
        longest,
        scale=scaling,
        window_size=(back, 0),
        **more,
    )
    assert isinstance(out, torch.Tensor)
    return out[None]


def has_varlen(model: Any) -> bool:
    """Whether torch has attention over rows of any length for this model's device and dtype.

    Not verified: no GPU has run it. Before it is used, `pack.packs` tries it on the model itself.
    """
    if model.device.type not in ("cuda", "meta") or model.dtype not in HALF:
        return False
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"scale", "window_size"} <= inspect.signature(varlen_attn).parameters.keys()
