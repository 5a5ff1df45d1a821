"""A LoRA folded into its base: same answers, the checkpoint's dtype, tied weights still tied."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from stages.errors import ResourceError
from stages.models import LanguageModel, weight_shapes
from stages.training import Lora
from stages.training.attach import attached
from stages.training.merge import Merged, merged_state, merging, save_merged
from stages.training.targets import resolve_targets

IDS = torch.arange(3, 23)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


def adapted_logits(model: Any, lora: Lora) -> torch.Tensor:
    with attached(model, lora) as worn:
        return logits(worn)


def snapshot(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def lora(any_model: LanguageModel, random_lora: Callable[..., Lora], tmp_path: Path) -> Lora:
    """On every linear layer."""
    any_model.model.save_pretrained(tmp_path / "plain")
    targets = resolve_targets("all-linear", weight_shapes(tmp_path / "plain"))
    lora = random_lora(any_model.model, targets)
    return Lora(4, 2, lora.weights)


def test_the_merged_model_answers_as_the_adapted_one(
    any_model: LanguageModel, lora: Lora, tmp_path: Path
) -> None:
    before = snapshot(any_model.model)
    expected = adapted_logits(any_model.model, lora)
    save_merged(any_model, lora, tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert (logits(any_model.model) - expected).abs().max() > 0.1
    assert torch.allclose(logits(merged), expected, atol=2e-4, rtol=1e-4)
    after = any_model.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_saved_directory_loads_like_any_other(
    any_model: LanguageModel, lora: Lora, tmp_path: Path
) -> None:
    from stages.loading import load

    save_merged(any_model, lora, tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("Ost é")["input_ids"] == any_model.tokenizer("Ost é")["input_ids"]
    again = load.__wrapped__(tmp_path, "cpu")
    assert type(again.model) is type(any_model.model)
    assert again.end_ids == any_model.end_ids


def test_only_the_targets_change(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm = tiny("qwen2")  # whose q_proj has a bias
    lora = random_lora(lm.model, ("q_proj",))
    merged = merged_state(lm.model, lora)
    before = lm.model.state_dict()
    assert merged.keys() == before.keys()
    changed = {name for name in merged if not torch.equal(merged[name], before[name])}
    assert changed == {f"{name}.weight" for name in lora.weights}


@pytest.mark.parametrize("architecture", ["qwen2", "gpt2"])
def test_tied_embeddings_stay_tied_and_are_saved_once(
    tiny: Callable[..., LanguageModel],
    random_lora: Callable[..., Lora],
    tmp_path: Path,
    architecture: str,
) -> None:
    lm = tiny(architecture, tie_word_embeddings=True)
    lora = random_lora(lm.model, ("q_proj",) if architecture == "qwen2" else ("c_attn",))
    expected = adapted_logits(lm.model, lora)
    save_merged(lm, lora, tmp_path)
    assert "lm_head.weight" not in weight_shapes(tmp_path)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path)
    head, embedding = merged.get_output_embeddings(), merged.get_input_embeddings()
    assert head.weight.data_ptr() == embedding.weight.data_ptr()
    assert torch.allclose(logits(merged), expected, atol=1e-4)
    head_before = lm.model.get_output_embeddings().weight
    assert head_before.data_ptr() == lm.model.get_input_embeddings().weight.data_ptr()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_low_precision_checkpoint_is_merged_in_float32_and_cast_once(
    tiny: Callable[..., LanguageModel],
    random_lora: Callable[..., Lora],
    tmp_path: Path,
    dtype: torch.dtype,
) -> None:
    lm = tiny("llama")
    lm.model.to(dtype)
    lora = random_lora(lm.model, ("q_proj", "v_proj", "down_proj"))
    expected = {}
    for name, (a, b) in lora.weights.items():
        weight = lm.model.get_submodule(name).weight
        exact = weight.double() + lora.alpha / lora.rank * (b.double() @ a.double())
        expected[name] = exact.to(torch.float32).to(dtype)
    save_merged(lm, lora, tmp_path)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert {p.dtype for p in merged.parameters()} == {dtype}
    for name, weight in expected.items():
        same = merged.get_submodule(name).weight == weight
        assert same.float().mean() > 0.999  # a last bit of float32 may tip a rounding
    difference = logits(merged).float() - adapted_logits(lm.model, lora).float()
    spread = logits(lm.model).float().std()
    assert difference.abs().mean() < 0.05 * spread


def test_a_small_update_is_not_lost_in_a_chain_of_low_precision_roundings(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    # In bfloat16 arithmetic alpha / rank * B @ A would be rounded at every product.
    lm = tiny("llama")
    lm.model.to(torch.bfloat16)
    lora = random_lora(lm.model, ("down_proj",), rank=8)
    for name, (a, b) in lora.weights.items():
        weight = lm.model.get_submodule(name).weight
        merged = merged_state(lm.model, lora)[f"{name}.weight"]
        low = weight + 2 * (b.bfloat16() @ a.bfloat16())
        exact = weight.double() + 2 * (b.double() @ a.double())
        assert (merged - exact).abs().mean() < 0.7 * (low - exact).abs().mean()


def test_a_full_disk_is_a_resource_error(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora], tmp_path: Path
) -> None:
    import resource
    import signal

    lm = tiny("llama")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises((ResourceError, OSError)):
            save_merged(lm, random_lora(lm.model, ("q_proj",)), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)


def test_loras_merged_one_after_another_answer_as_their_sum(
    any_model: LanguageModel, lora: Lora, random_lora: Callable[..., Lora]
) -> None:
    before = {name: tensor.clone() for name, tensor in any_model.model.state_dict().items()}
    bare = logits(any_model.model)
    second = random_lora(any_model.model, tuple(lora.targets), seed=5)
    with merging(any_model.model) as merged:
        merged.wear(second)  # tried and not kept
        merged.wear(lora)
        assert torch.allclose(
            logits(any_model.model), adapted_logits_before(any_model, merged, lora), atol=2e-4
        )
        merged.keep()
        merged.wear(second, 0.5)
        weight = any_model.model.get_submodule(name := next(iter(lora.weights))).weight
        expected = before[f"{name}.weight"].double()
        for part, scale in ((lora, 1.0), (second, 0.5)):
            a, b = (side.double() for side in part.weights[name])
            delta = scale * part.alpha / part.rank * (b @ a)
            expected = expected + (delta.T if delta.shape != expected.shape else delta)
        if expected.shape[0] != expected.shape[1]:  # a square one may be transposed, see above
            assert torch.allclose(weight.double(), expected, atol=1e-5)
        with merged.bare():
            assert torch.equal(logits(any_model.model), bare)
        assert not torch.equal(logits(any_model.model), bare)
    after = any_model.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def adapted_logits_before(lm: LanguageModel, merged: Merged, lora: Lora) -> torch.Tensor:
    """What the bare model says wearing the LoRA."""
    with merged.bare():
        return adapted_logits(lm.model, lora)


def test_merges_that_follow_do_not_round_in_between(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm = tiny("llama")
    lm.model.to(torch.bfloat16)
    lora = random_lora(lm.model, ("q_proj",))
    small = Lora(lora.rank, lora.alpha, {n: (a, b * 1e-3) for n, (a, b) in lora.weights.items()})
    name = next(iter(lora.weights))
    original = lm.model.get_submodule(name).weight.clone()
    with merging(lm.model) as merged:
        for _ in range(200):
            merged.wear(small)
            merged.keep()
        a, b = small.weights[name]
        exact = original.float() + 200 * small.alpha / small.rank * (b @ a)
        weight = lm.model.get_submodule(name).weight
        assert weight.dtype == torch.bfloat16
        assert torch.allclose(weight.float(), exact, rtol=1e-2, atol=1e-3)
    assert torch.equal(lm.model.get_submodule(name).weight, original)


def test_the_model_is_as_before_after_an_error(
    tiny: Callable[..., LanguageModel], random_lora: Callable[..., Lora]
) -> None:
    lm = tiny("llama", seed=3)
    before = snapshot(lm.model)
    lora = random_lora(lm.model, ("q_proj", "down_proj"))
    block = merging(lm.model)
    block.__enter__().wear(lora)
    assert not block.__exit__(KeyError, KeyError("in the block"), None)  # goes on its way
    assert all(torch.equal(before[n], t) for n, t in lm.model.state_dict().items())
