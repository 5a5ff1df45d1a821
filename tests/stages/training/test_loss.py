"""The loss in chunks is the loss, and so is its gradient."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from stages.models import LanguageModel
from stages.tokens import Row
from stages.training import loss
from stages.training.loss import plain_head, row_losses, target_losses
from stages.training.pack import pack

ROWS = [Row(tuple(range(start, start + n)), 0, n) for start, n in ((3, 9), (20, 17), (50, 4))]


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.randn(7, 12, generator=torch.Generator().manual_seed(1), requires_grad=True)


@pytest.fixture
def head() -> torch.nn.Linear:
    return torch.nn.Linear(12, 30, bias=False).requires_grad_(False)


@pytest.mark.parametrize("chunk", [1, 70, 1 << 26])
def test_chunks_give_the_loss_and_the_gradient_of_all_at_once(
    hidden: torch.Tensor, head: torch.nn.Linear, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets, weights = torch.arange(7), torch.linspace(-1, 3, 7)
    expected = F.cross_entropy(head(hidden), targets, reduction="none")
    (wanted,) = torch.autograd.grad((expected * weights).sum(), hidden)
    monkeypatch.setattr(loss, "CHUNK", chunk)
    found = loss._HeadLoss.apply(hidden, head, targets)
    (gradient,) = torch.autograd.grad((found * weights).sum(), hidden)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(gradient, wanted, atol=1e-6)


def test_what_is_no_number_stays_with_its_own_token(
    hidden: torch.Tensor, head: torch.nn.Linear
) -> None:
    bad = hidden.detach().clone()
    bad[3] = math.nan
    bad.requires_grad_(True)
    both = []
    for vectors in (hidden, bad):
        found = loss._HeadLoss.apply(vectors, head, torch.arange(7))
        (gradient,) = torch.autograd.grad(found.sum(), vectors)
        both.append((found.detach(), gradient))
    (losses, gradients), (bad_losses, bad_gradients) = both
    others = [0, 1, 2, 4, 5, 6]
    assert bad_losses[3].isnan()
    assert torch.equal(losses[others], bad_losses[others])
    assert torch.equal(gradients[others], bad_gradients[others])


def test_every_family_has_a_head_apart_and_the_same_losses(any_model: LanguageModel) -> None:
    model = any_model.model
    head = plain_head(model)
    assert head is model.get_output_embeddings()
    with torch.no_grad():
        apart, whole = target_losses(model, pack(ROWS), head), row_losses(model, ROWS)
    assert torch.allclose(apart, torch.cat(whole), atol=1e-5)
    assert [len(each) for each in whole] == [row.n_targets for row in ROWS]


def test_logits_that_are_more_than_the_head_says_are_made_as_the_model_makes_them(
    tiny: Callable[..., LanguageModel],
) -> None:
    model = tiny("llama").model
    model.register_forward_hook(lambda _, __, out: type(out)(logits=out.logits / 2))
    assert plain_head(model) is None
    model = tiny("llama").model
    model.lm_head = torch.nn.Linear(model.config.hidden_size, model.config.vocab_size, bias=True)
    assert plain_head(model) is None
