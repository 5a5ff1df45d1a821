"""Many LoRAs on one model: each token wears its own, and nothing is left of them afterwards."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from trace_model import Trace

from stages.models import LanguageModel
from stages.training import Lora
from stages.training.attach import attached
from stages.training.stack import Stack

IDS = torch.arange(3, 33).view(3, 10)


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids).logits


@pytest.fixture
def three(
    any_model: LanguageModel, any_targets: tuple[str, ...], random_lora: Callable[..., Lora]
) -> list[Lora]:
    """Three LoRAs of different ranks."""
    return [random_lora(any_model.model, any_targets, rank=r, seed=r) for r in (4, 3, 11)]


def stacked(model: Any, loras: list[Lora]) -> Stack:
    stack = Stack(model, loras[0].targets, max(lora.rank for lora in loras), len(loras))
    for slot, lora in enumerate(loras):
        stack.put(slot, lora)
    return stack


def test_each_row_wears_the_lora_of_its_slot_and_afterwards_none(
    any_model: LanguageModel, three: list[Lora]
) -> None:
    model = any_model.model
    before, plain = Trace(model), logits(model)
    stack = stacked(model, three)
    stack.arrange([10, 10, 10])
    with stack.worn():
        together = logits(model)
    before.assert_unchanged(model)
    assert torch.equal(logits(model), plain)
    for i, lora in enumerate(three):
        with attached(model, lora) as worn:
            expected = logits(worn, IDS[i : i + 1])[0]
        assert (together[i] - expected).abs().max() < 1e-4
        assert (together[i] - plain[i]).abs().max() > 0.1


def test_some_slots_may_have_no_token(any_model: LanguageModel, three: list[Lora]) -> None:
    stack = stacked(any_model.model, three)
    with stack.worn():
        stack.arrange([10, 10, 10])
        together = logits(any_model.model)
        stack.arrange([10, 10], first=1)
        last = logits(any_model.model, IDS[1:])
    assert (together[1:] - last).abs().max() < 1e-5


def test_nothing_is_left_after_an_error_inside(any_model: LanguageModel, three: list[Lora]) -> None:
    before = Trace(any_model.model)
    with pytest.raises(RuntimeError, match="halfway"), stacked(any_model.model, three).worn():
        raise RuntimeError("halfway")
    before.assert_unchanged(any_model.model)


def test_what_was_put_is_taken_bit_for_bit(any_model: LanguageModel, three: list[Lora]) -> None:
    stack = stacked(any_model.model, three)
    for slot, lora in enumerate(three):
        again = stack.take(slot, lora.rank, lora.alpha)
        assert (again.rank, again.alpha, again.transposed) == (
            lora.rank,
            lora.alpha,
            lora.transposed,
        )
        assert again.weights.keys() == lora.weights.keys()
        for name, pair in lora.weights.items():
            assert all(torch.equal(x, y) for x, y in zip(again.weights[name], pair, strict=True))


def test_a_slot_holds_nothing_of_the_lora_before(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    model = tiny("llama").model
    large, small = (random_lora(model, ("q_proj",), rank=r) for r in (8, 2))
    stack = stacked(model, [large, large])
    stack.put(0, small)
    fresh = stacked(model, [small, large])
    assert torch.equal(stack.values[0], fresh.values[0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_gradients_are_those_of_each_lora_alone(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora], dtype: str
) -> None:
    model = tiny("llama").model.to(getattr(torch, dtype))
    loras = [random_lora(model, ("q_proj", "down_proj"), rank=r, seed=r) for r in (4, 8)]
    stack = stacked(model, loras)
    stack.gradients = torch.full_like(stack.values, torch.nan)  # what was there must not matter
    stack.arrange([20, 10])
    with stack.worn():
        model(input_ids=IDS).logits.float().logsumexp(-1).sum().backward()
    tolerance = {"float32": 1e-5, "float64": 1e-9, "bfloat16": 0.25}[dtype]
    for slot, (lora, ids) in enumerate(zip(loras, (IDS[:2], IDS[2:]), strict=True)):
        with attached(model, lora) as worn:
            worn.requires_grad_(True)
            worn(input_ids=ids).logits.float().logsumexp(-1).sum().backward()
            layers = dict(model.named_modules())
            for site in stack.sites:
                layer = layers[site.name]
                a, b = (side["default"].weight.grad for side in (layer.lora_A, layer.lora_B))
                row = stack.gradients[slot : slot + 1]
                found_a, found_b = site.a(row)[0], site.b(row)[0]
                assert (found_a[: lora.rank] - a).norm() <= tolerance * a.norm()
                assert (found_b[:, : lora.rank] - b).norm() <= tolerance * b.norm()
                assert not found_a[lora.rank :].any()
                assert not found_b[:, lora.rank :].any()
        model.zero_grad()


def test_over_a_model_in_lower_precision_weights_are_used_in_float32_or_in_its_own_if_narrow(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    model = tiny("llama").model.to(torch.bfloat16)
    lora = random_lora(model, ("q_proj",))
    stack = stacked(model, [lora])
    assert stack.used is stack.values
    assert (stack.values.dtype, stack.dtype) == (torch.float32, torch.float32)
    narrow = Stack(model, lora.targets, lora.rank, 1, narrow=True)
    narrow.put(0, lora)
    assert (narrow.values.dtype, narrow.used.dtype) == (torch.float32, torch.bfloat16)
    narrow.values += 1
    assert not torch.equal(narrow.used, narrow.values.bfloat16())
    narrow.refresh(slice(None))
    assert torch.equal(narrow.used, narrow.values.bfloat16())
