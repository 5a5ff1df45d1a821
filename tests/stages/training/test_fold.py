"""One LoRA trained inside the weights: the same adapter, and the weights as before."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from stages.models import LanguageModel
from stages.training import Job, Lora, fold
from stages.training.batched import BatchedTrainer
from stages.training.reference import ReferenceTrainer
from stages.training.stack import Stack

TEXTS = ["The harbour is old.", "It has a quay.", "Its light is 31 m high.", "Wide open."]
ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def update(lora: Lora) -> torch.Tensor:
    pairs = [pair for _, pair in sorted(lora.weights.items())]
    return torch.cat([(lora.alpha / lora.rank * (b @ a)).flatten() for a, b in pairs])


@pytest.fixture
def lm(tiny: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny("llama")


@pytest.fixture
def jobs(lm: LanguageModel, make_job: Callable[..., Job]) -> list[Job]:
    job = make_job(lm.tokenizer, TEXTS, alpha=64, epochs=3, learning_rate=2e-3)
    wide = replace(job, rank=32, targets=ALL)
    return [wide, replace(wide, rank=20, rows=job.rows[:1], alpha=30, seed=2)]


@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1e-4), (torch.float64, 1e-9)])
@pytest.mark.parametrize("max_tokens", [4096, 24])  # a step in one piece, and in several
def test_it_gives_the_adapters_of_the_reference_and_the_model_back(
    lm: LanguageModel,
    jobs: list[Job],
    dtype: torch.dtype,
    most: float,
    max_tokens: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm.model.to(dtype)
    before = {name: weight.clone() for name, weight in lm.model.state_dict().items()}
    ended: list[int] = []
    end = fold.Fold.end
    monkeypatch.setattr(fold.Fold, "end", lambda self: ended.append(1) is None and end(self))
    found = list(BatchedTrainer(lm, 1, max_tokens).train(jobs))
    assert ended == [1, 1]  # both were folded
    assert all(torch.equal(w, before[name]) for name, w in lm.model.state_dict().items())
    for one, expected in zip(found, ReferenceTrainer(lm).train(jobs), strict=True):
        right = update(expected.lora)
        assert ((update(one.lora) - right).norm() / right.norm()).item() < most
        assert one.last_loss == pytest.approx(expected.last_loss, rel=1e-4)


def test_it_is_for_one_adapter_whose_rank_is_not_small(lm: LanguageModel) -> None:
    assert fold.pays(Stack(lm.model, ALL, 32, 1))
    assert not fold.pays(Stack(lm.model, ALL, 32, 2))
    small = Stack(lm.model, ALL, 8, 1)
    small.rank = 4  # of 32 x 32: 768 products for 1024
    assert not fold.pays(small)
    lm.model.to(torch.bfloat16)
    assert not fold.pays(Stack(lm.model, ALL, 32, 1))


def test_an_error_leaves_the_weights_as_before(lm: LanguageModel, jobs: list[Job]) -> None:
    before = lm.model.state_dict()["model.layers.0.mlp.up_proj.weight"].clone()
    stack = Stack(lm.model, ALL, 32, 1)
    stack.gradients = torch.zeros_like(stack.values)
    stack.values.fill_(0.5)
    stack.scaling.fill_(1.0)
    layer = lm.model.model.layers[0].mlp.up_proj

    def stop() -> None:
        with fold.folded(stack) as folded:
            folded.renew()
            assert not torch.equal(layer.weight, before)
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        stop()
    assert torch.equal(layer.weight, before)
    assert not layer._forward_hooks
