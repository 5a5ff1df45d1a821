"""The repaired products: a row without an adapter gets nothing, whatever the last slot holds."""

import pytest
import torch

from stages.engines import vllm_cpu

INDICES = [0, -1, 2, 2, -1, 1]


@pytest.fixture
def operands() -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [6, 5] and the adapters' matrices [3, 1, 4, 5], the last one with no number in it."""
    chance = torch.Generator().manual_seed(0)
    return torch.randn(6, 5, generator=chance), torch.randn(3, 1, 4, 5, generator=chance)


def expected(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    rows = [torch.zeros(4) if i < 0 else w[i, 0] @ row for i, row in zip(INDICES, x, strict=True)]
    return torch.stack(rows)


def test_products_of_each_row_with_its_own_adapter(
    operands: tuple[torch.Tensor, torch.Tensor],
) -> None:
    x, w = operands
    indices, right = torch.tensor(INDICES), expected(x, w)
    out = torch.full((6, 4), 7.0)
    vllm_cpu.bgmv_shrink(x, w, out, indices, 0.5)
    torch.testing.assert_close(out, right * 0.5)
    out = torch.full((6, 4), 7.0)
    vllm_cpu.bgmv_expand(x, w, out, indices, add_inputs=True)
    torch.testing.assert_close(out, right + 7)
    vllm_cpu.bgmv_expand(x, w, out, indices, add_inputs=False)
    torch.testing.assert_close(out, right)
    out = torch.full((6, 9), 7.0)
    vllm_cpu.bgmv_expand_slice(x, w, out, indices, 3, 4)
    torch.testing.assert_close(out[:, 3:7], right + 7)
    assert (out[:, :3] == 7).all()
    assert (out[:, 7:] == 7).all()


def test_an_adapter_that_broke_reaches_no_other_row(
    operands: tuple[torch.Tensor, torch.Tensor],
) -> None:
    x, w = operands
    w[2] = torch.nan
    out = torch.zeros(6, 4)
    vllm_cpu.bgmv_shrink(x, w, out, torch.tensor(INDICES))
    assert out.isnan().any(dim=1).tolist() == [i == 2 for i in INDICES]


def test_every_place_that_calls_them_has_them() -> None:
    from vllm.lora.ops import torch_ops
    from vllm.lora.ops.torch_ops import lora_ops
    from vllm.lora.punica_wrapper import punica_cpu

    vllm_cpu.repair()
    for place in (torch_ops, lora_ops, punica_cpu):
        assert not vllm_cpu.is_wrong(place.bgmv_shrink)
        assert place.bgmv_expand is vllm_cpu.bgmv_expand
    assert not vllm_cpu.repair()  # there is nothing left to do
