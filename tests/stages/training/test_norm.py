"""Norms by the kernel are the model's norms, and only norms of that kind."""

import pytest
import torch
from trace_model import Trace

from stages.models import LanguageModel
from stages.training.norm import fused_norms


def outputs(model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    vectors = model.get_input_embeddings()(torch.arange(3, 33)[None]).detach().requires_grad_(True)
    logits = model(inputs_embeds=vectors).logits
    (gradient,) = torch.autograd.grad(logits.logsumexp(-1).sum(), vectors)
    return logits.detach(), gradient


def test_they_are_the_models_own_and_gone_afterwards(any_model: LanguageModel) -> None:
    model, before = any_model.model, Trace(any_model.model)
    expected = outputs(model)
    with fused_norms(model) as n:
        found = outputs(model)
    before.assert_unchanged(model)
    assert n == sum(type(m).__name__.endswith("RMSNorm") for m in model.modules())
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-5 * other.abs().max())


@pytest.mark.parametrize("change", ["one more", "trained"])
def test_another_kind_of_norm_is_left_alone(
    tiny: object, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny("llama").model  # type: ignore[operator]
    kind = type(model.model.norm)
    own = kind.forward
    if change == "one more":  # as Gemma's, whose weight is a difference from one
        monkeypatch.setattr(kind, "forward", lambda self, x: own(self, x) + x)
    else:
        model.model.norm.weight.requires_grad_(True)
    with fused_norms(model) as n:
        assert n == (0 if change == "one more" else 2 * len(model.model.layers))
