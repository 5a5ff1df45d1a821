"""Which modules a LoRA adapts: resolved by architecture, always by name, never silently."""

import pytest

from stages.errors import ConfigError
from stages.models import LanguageModel, weight_shapes
from stages.training.attach import wrapped
from stages.training.targets import resolve_targets

LINEAR = {
    "llama": "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj",
    "qwen2": "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj",
    "mistral": "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj",
    "neox": "dense dense_4h_to_h dense_h_to_4h query_key_value",
    "gpt2": "c_attn c_fc c_proj",
}


@pytest.fixture
def shapes(any_model: LanguageModel, tmp_path: object) -> dict[str, list[int]]:
    """As `resolve_targets` gets them: from the saved checkpoint."""
    any_model.model.save_pretrained(tmp_path)
    return dict(weight_shapes(tmp_path))


def test_default_is_query_and_value_of_each_architecture(
    shapes: dict[str, list[int]], any_targets: tuple[str, ...]
) -> None:
    assert resolve_targets("default", shapes) == any_targets


def test_all_linear_is_every_linear_layer_but_embeddings_and_head(
    shapes: dict[str, list[int]], architecture: str
) -> None:
    assert resolve_targets("all-linear", shapes) == tuple(LINEAR[architecture].split())


def test_peft_puts_a_lora_on_exactly_the_modules_that_were_resolved(
    any_model: LanguageModel, shapes: dict[str, list[int]]
) -> None:
    names = resolve_targets("all-linear", shapes)
    expected = {
        name for name, _ in any_model.model.named_modules() if name.rsplit(".", 1)[-1] in names
    }
    with wrapped(any_model.model, 2, 4, list(names)) as (_, layers):
        assert layers.keys() == expected
    assert len(expected) >= 2 * len(names)


def test_names_are_taken_sorted_and_once() -> None:
    shapes = {f"model.layers.{i}.attn.{n}.weight": [4, 4] for i in (0, 1) for n in ("a", "b", "c")}
    assert resolve_targets(" c, a,c,,", shapes) == ("a", "c")


@pytest.mark.parametrize("request_", ["nope", "a,nope", "", ",", "embed", "norm", "lm_head"])
def test_a_name_that_is_no_linear_layer_is_refused_with_the_list(request_: str) -> None:
    shapes = {
        "model.embed.weight": [9, 4],
        "model.layers.0.attn.a.weight": [4, 4],
        "model.layers.0.norm.weight": [4],
        "lm_head.weight": [9, 4],
    }
    with pytest.raises(ConfigError) as refused:
        resolve_targets(request_, shapes)
    assert refused.value.hint == "It has: a."


@pytest.mark.parametrize("request_", ["default", "all-linear"])
def test_an_architecture_without_known_layers_is_refused(request_: str) -> None:
    with pytest.raises(ConfigError):
        resolve_targets(request_, {"embeddings.weight": [9, 4]})
