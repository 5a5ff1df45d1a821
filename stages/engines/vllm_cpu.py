"""Repairs vLLM's LoRA products on a CPU: rows without an adapter got the last one's weights there.

vLLM marks such rows with the index -1, and its products written in PyTorch (vLLM 0.26 to 0.32 at
least; pull requests vllm#48421 and #49656) look up `weights[-1]`. The kernels that GPUs use are
right. Here rows without an adapter are left alone; besides, each adapter's rows are one product,
where vLLM copies the adapter once per row. Nothing is replaced where vLLM is right.
"""

import importlib
from typing import Any

import torch

_OPS = "vllm.lora.ops.torch_ops"
# Where the names of the products stand: their home, the package, and who imported them from it.
_PLACES = (f"{_OPS}.lora_ops", _OPS, "vllm.lora.punica_wrapper.punica_cpu")


def repair() -> bool:
    """Replace the products in this process if they are wrong; whether they were."""
    places = [importlib.import_module(name) for name in _PLACES]
    if not is_wrong(places[0].bgmv_shrink):
        return False
    for place in places:
        for product in (bgmv_shrink, bgmv_expand, bgmv_expand_slice):
            setattr(place, product.__name__, product)  # the sgmv_... ones call these
    return True


def is_wrong(shrink: Any) -> bool:
    """Whether a row without an adapter gets something from a product."""
    out = torch.zeros(1, 1)
    shrink(torch.ones(1, 1), torch.ones(1, 1, 1), out, torch.tensor([-1]))
    return bool(out.any())


def bgmv_shrink(
    inputs: torch.Tensor,
    lora_b_weights: torch.Tensor,
    output_tensor: torch.Tensor,
    lora_indices_tensor: torch.Tensor,
    scaling: float = 1.0,
) -> None:
    """Write `scaling * x A'`: [rows, n_in] -> [rows, rank]; zeros for rows without an adapter."""
    output_tensor.zero_()
    _add(inputs, lora_b_weights, output_tensor, lora_indices_tensor, scaling)


def bgmv_expand(
    inputs: torch.Tensor,
    lora_b_weights: torch.Tensor,
    output_tensor: torch.Tensor,
    lora_indices_tensor: torch.Tensor,
    add_inputs: bool = True,
) -> None:
    """Add `x B'`: [rows, rank] -> [rows, n_out], or write it."""
    if not add_inputs:
        output_tensor.zero_()
    _add(inputs, lora_b_weights, output_tensor, lora_indices_tensor)


def bgmv_expand_slice(
    inputs: torch.Tensor,
    lora_b_weights: torch.Tensor,
    output_tensor: torch.Tensor,
    lora_indices_tensor: torch.Tensor,
    slice_offset: int,
    slice_size: int,
    add_inputs: bool = True,
) -> None:
    """The same on some columns of the output, where several layers are one."""
    columns = output_tensor[:, slice_offset : slice_offset + slice_size]
    bgmv_expand(inputs, lora_b_weights, columns, lora_indices_tensor, add_inputs)


def _add(
    inputs: torch.Tensor,
    weights: torch.Tensor,
    output: torch.Tensor,
    indices: torch.Tensor,
    scaling: float = 1.0,
) -> None:
    """Add each adapter's product to its rows. `weights`: [adapters, (1,) n_out, n_in]."""
    weights = weights.flatten(1, -2) if weights.dim() == 4 else weights
    # vLLM pads the rows and the columns of either side at times.
    width = min(weights.shape[1], output.shape[1])
    indices = indices[: len(inputs)]
    for adapter in sorted(set(indices.tolist())):
        if adapter < 0:
            continue
        rows = (indices == adapter).nonzero().squeeze(1)
        product = inputs[rows].to(output.dtype) @ weights[adapter, :width].to(output.dtype).t()
        output[rows, :width] += product * scaling
