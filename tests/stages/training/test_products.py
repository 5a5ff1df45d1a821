"""Every way of multiplying slot by slot gives what one product after the other gives."""

from typing import Any

import pytest
import torch

from stages.training import products
from stages.training.products import Batched, Blocks, ByLoop, Grouped, way_of

COUNTS = [3, 14, 1, 40, 2]
N_IN, N_OUT, RANK = 24, 40, 8
CPU = torch.device("cpu")
needs_mkl = pytest.mark.skipif(products._sgemm_batch() is None, reason="torch is built without MKL")
WAYS = [ByLoop, Grouped, Blocks, pytest.param(Batched, marks=needs_mkl)]


def made(way: Any, counts: list[int] = COUNTS) -> list[torch.Tensor]:
    """All products of a LoRA's forward and backward: matrices are views with a row to spare."""
    chance = torch.Generator().manual_seed(0)
    x, g = (torch.randn(sum(counts), n, generator=chance) for n in (N_IN, N_OUT))
    flat = torch.randn(len(counts), RANK * (N_IN + N_OUT) + 5, generator=chance)
    gradients = torch.full_like(flat, torch.nan)  # what was there must not matter
    (a, b), (to_a, to_b) = (
        (
            t[:, : RANK * N_IN].view(-1, RANK, N_IN),
            t[:, RANK * N_IN : -5].view(-1, N_OUT, RANK),
        )
        for t in (flat, gradients)
    )
    do = way(counts, CPU)
    x, g = (do.spread(t, torch.float32) for t in (x, g))
    inner, middle = do.times(x, a.transpose(1, 2)), do.times(g, b)
    out = torch.ones(sum(counts), N_OUT)
    do.add(inner, b.transpose(1, 2), out)
    do.outer(g, inner, to_b, fresh=True)
    do.outer(middle, x, to_a, fresh=True)
    once = to_a.clone()
    do.outer(middle, x, to_a, fresh=False)
    assert gradients[:, -5:].isnan().all()
    ends = [do.joined(t) for t in (inner, middle, do.times(middle, a))]
    return [*ends, out, once, to_a.clone(), to_b.clone()]


@pytest.mark.parametrize("few", [0, 4096])
@pytest.mark.parametrize("block", [1, 16, 64])
def test_blocks_of_any_width_are_the_plain_product(
    few: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "FEW", few)
    monkeypatch.setattr(products, "BLOCK", block)
    for one, other in zip(made(Blocks), made(ByLoop), strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm()


def test_padding_keeps_what_is_no_number_with_its_own_group() -> None:
    x = torch.ones(sum(COUNTS), N_IN)
    x[3 + 13] = torch.nan  # the last token of the second group
    do = Blocks(COUNTS, CPU)
    rows = do.spread(x, torch.float32)
    into = torch.empty(len(COUNTS), N_IN, N_IN)
    do.outer(rows, rows, into, fresh=True)
    assert [bool(one.isnan().any()) for one in into] == [False, True, False, False, False]


def test_a_gpu_gets_one_kernel_for_bfloat16_where_it_is_and_blocks_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpu = torch.device("cuda", 0)
    for capability, way in (((9, 0), Grouped), ((8, 0), Blocks), ((10, 0), Grouped)):
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _, c=capability: c)
        assert way_of(torch.bfloat16, gpu, even=True) is way
        assert way_of(torch.float32, gpu, even=True) is Blocks
        assert way_of(torch.bfloat16, gpu, even=False) is Blocks
    assert way_of(torch.float32, torch.device("mps"), even=True) is Blocks


@pytest.mark.parametrize("way", WAYS)
def test_every_way_is_the_plain_product(way: Any) -> None:
    chance = torch.Generator().manual_seed(0)
    x, _ = (torch.randn(sum(COUNTS), n, generator=chance) for n in (N_IN, N_OUT))
    flat = torch.randn(len(COUNTS), RANK * (N_IN + N_OUT) + 5, generator=chance)
    a = flat[:, : RANK * N_IN].view(-1, RANK, N_IN)
    pieces = torch.split(x, COUNTS)
    found = made(way)
    plain = torch.cat([piece @ matrix.t() for piece, matrix in zip(pieces, a, strict=True)])
    assert (found[0] - plain).abs().max() < 1e-5
    for one, other in zip(found, made(ByLoop), strict=True):
        assert (one - other).norm() <= 1e-6 * other.norm()
    assert torch.allclose(found[5], 2 * found[4])


@needs_mkl
def test_the_batched_call_gives_the_bits_of_the_grouped_one() -> None:
    counts = [n for n in COUNTS if n > 1]  # one token is a product with a vector there
    both = zip(made(Batched, counts), made(Grouped, counts), strict=True)
    assert all(torch.equal(one, other) for one, other in both)


@needs_mkl
def test_groups_without_tokens_and_rows_apart_in_memory() -> None:
    x = torch.randn(6, 2 * N_IN)[:, ::2]
    w = torch.randn(3, N_IN, N_OUT)
    found = Batched([4, 0, 2], CPU).times(x, w)
    assert torch.allclose(found[:4], x[:4] @ w[0], atol=1e-5)
    assert torch.allclose(found[4:], x[4:] @ w[2], atol=1e-5)


def test_which_way_a_dtype_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    if products._sgemm_batch() is not None:
        assert way_of(torch.float32, CPU, even=False) is Batched
    monkeypatch.setattr(products, "_sgemm_batch", lambda: None)
    assert way_of(torch.float32, CPU, even=True) is Grouped
    assert way_of(torch.float32, CPU, even=False) is ByLoop
    assert way_of(torch.float64, CPU, even=True) is ByLoop
    assert way_of(torch.bfloat16, CPU, even=True) is Grouped


@pytest.mark.parametrize("missing", ["the library", "the symbol"])
def test_without_mkl_there_is_no_batched_call(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: str) -> object:
        if missing == "the library":
            raise OSError(missing)
        return object()

    monkeypatch.setattr("ctypes.CDLL", load)
    assert products._sgemm_batch.__wrapped__() is None
