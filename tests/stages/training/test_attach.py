"""A LoRA on a model, and off again without a trace."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from trace_model import Trace

from stages.errors import ConfigError
from stages.models import LanguageModel
from stages.training import Lora
from stages.training.attach import attached, read, wrapped

IDS = torch.arange(3, 13)[None]


@pytest.fixture
def lora(
    any_model: LanguageModel, any_targets: tuple[str, ...], random_lora: Callable[..., Lora]
) -> Lora:
    return random_lora(any_model.model, any_targets)


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def test_the_adapted_model_answers_otherwise_and_afterwards_as_before(
    any_model: LanguageModel, lora: Lora
) -> None:
    before, plain = Trace(any_model.model), logits(any_model.model)
    for _ in range(2):  # a second time too, without a warning about leftovers
        with attached(any_model.model, lora) as model:
            adapted = logits(model)
        assert (adapted - plain).abs().max() > 0.1
        before.assert_unchanged(any_model.model)
        assert torch.equal(logits(any_model.model), plain)


def test_nothing_is_left_after_an_error_inside(any_model: LanguageModel, lora: Lora) -> None:
    before = Trace(any_model.model)
    with pytest.raises(RuntimeError, match="halfway"), attached(any_model.model, lora):
        raise RuntimeError("halfway")
    before.assert_unchanged(any_model.model)


def test_the_adapted_model_is_the_base_plus_the_scaled_product(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm, other = tiny("llama"), tiny("llama")
    lora = random_lora(lm.model, ("q_proj", "down_proj"))
    for name, (a, b) in lora.weights.items():
        other.model.get_submodule(name).weight.data += lora.alpha / lora.rank * (b @ a)
    with attached(lm.model, lora) as model:
        assert torch.allclose(logits(model), logits(other.model), atol=1e-4)


def test_no_lora_is_the_model_itself(any_model: LanguageModel) -> None:
    with attached(any_model.model, None) as model:
        assert model is any_model.model


def test_what_was_attached_is_read_back_bit_for_bit(
    any_model: LanguageModel, any_targets: tuple[str, ...], lora: Lora
) -> None:
    from stages.training.attach import write

    with wrapped(any_model.model, lora.rank, lora.alpha, list(any_targets)) as (_, layers):
        for name, layer in layers.items():
            write(layer, *lora.weights[name])
        again = read(layers, lora.rank, lora.alpha)
    assert (again.rank, again.alpha) == (lora.rank, lora.alpha)
    assert again.weights.keys() == lora.weights.keys()
    for name, pair in lora.weights.items():
        assert all(torch.equal(x, y) for x, y in zip(again.weights[name], pair, strict=True))


@pytest.mark.parametrize("wrong", ["fewer layers", "other layers"])
def test_a_lora_of_another_model_is_refused_and_leaves_no_trace(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora], wrong: str
) -> None:
    lm = tiny("llama")
    before = Trace(lm.model)
    weights = dict(random_lora(lm.model, ("q_proj",)).weights)
    first = weights.pop("model.layers.0.self_attn.q_proj")
    if wrong == "other layers":
        weights["model.layers.7.self_attn.q_proj"] = first
    with pytest.raises(ConfigError, match="another architecture"):
        attached(lm.model, Lora(4, 8, weights)).__enter__()
    before.assert_unchanged(lm.model)


@pytest.mark.parametrize("wrong", ["shape", "name"])
def test_a_lora_of_another_size_or_naming_is_refused(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora], wrong: str
) -> None:
    lm = tiny("llama")
    foreign = tiny("llama", hidden_size=64) if wrong == "shape" else tiny("gpt2")
    lora = random_lora(foreign.model, ("q_proj",) if wrong == "shape" else ("c_attn",))
    with pytest.raises(ConfigError):
        attached(lm.model, lora).__enter__()


def test_a_lora_is_float32_over_a_model_in_lower_precision(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm = tiny("llama")
    lora = random_lora(lm.model, ("q_proj",))
    lm.model.to(torch.bfloat16)
    before = Trace(lm.model)
    with wrapped(lm.model, 4, 8, ["q_proj"]) as (_, layers):
        assert {layer.lora_A["default"].weight.dtype for layer in layers.values()} == {
            torch.float32
        }
    with attached(lm.model, lora) as model:
        assert logits(model).dtype == torch.bfloat16
    before.assert_unchanged(lm.model)


def test_a_lora_goes_on_gpt2_without_a_warning(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm = tiny("gpt2")
    lora = random_lora(lm.model, ("c_attn",))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with attached(lm.model, lora) as model:
            logits(model)
