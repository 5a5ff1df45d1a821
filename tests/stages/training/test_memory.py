"""The estimate of memory against what a layer really keeps, counted on the meta device."""

from typing import Any

import pytest
import torch
from meta_model import model

from stages.tokens import Row
from stages.training import Job, norm
from stages.training.batched import BatchedTrainer, _Active, _Run
from stages.training.loss import target_losses
from stages.training.memory import CONTEXT, Fit, Memory, fit, memory_of
from stages.training.pack import pack
from stages.training.targets import resolve_targets
from stages.training.varlen import has_varlen

ROWS = [Row(tuple(range(1, n + 2)), 0, n + 1) for n in (40, 60, 100)]
TOKENS = 200


class Kept(torch.autograd.Function):
    """Stands for the kernel of a norm: keeps what it was given."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0].relu()


def kept(layers: int, targets: str) -> int:
    """Bytes that a forward of these rows keeps for its gradient, weights apart."""
    lm = model(layers)
    shapes = {name: list(t.shape) for name, t in lm.model.state_dict().items()}
    job = Job((), 32, 64, resolve_targets(targets, shapes), 1, 1e-3, 1, 0)
    trainer = BatchedTrainer(lm, 1)
    run = _Run(lm, [_Active(0, job, [ROWS])], trainer)
    run.stack.arrange([TOKENS])
    weights = {t.untyped_storage()._cdata for t in lm.model.state_dict().values()}
    weights |= {run.stack.values.untyped_storage()._cdata}
    found: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        found[tensor.untyped_storage()._cdata] = tensor
        return tensor

    packed = pack(ROWS, "meta", varlen=has_varlen(lm.model))
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with run.stack.worn(), run._norms(), hooks:
        target_losses(lm.model, packed, lm.model.lm_head)
    return sum(t.untyped_storage().nbytes() for key, t in found.items() if key not in weights)


@pytest.mark.parametrize("targets", ["default", "all-linear"])
def test_a_token_takes_what_the_estimate_says(
    targets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(norm, "_normed", lambda module, x: Kept.apply(x))
    monkeypatch.setattr("stages.training.batched.plain_head", lambda model: model.lm_head)
    measured = (kept(3, targets) - kept(1, targets)) / 2 / TOKENS
    tokens = []
    for layers in (1, 3):
        shapes = {name: list(t.shape) for name, t in model(layers).model.state_dict().items()}
        tokens.append(memory_of(shapes, resolve_targets(targets, shapes), 32).token)
    estimated = (tokens[1] - tokens[0]) / 2
    print(targets, measured, estimated)
    assert 0.9 * measured <= estimated <= 1.25 * measured


def test_the_model_and_the_slots_are_counted_to_the_number() -> None:
    lm = model(2).model
    shapes = {name: list(t.shape) for name, t in lm.state_dict().items()}
    memory = memory_of(shapes, ("q_proj", "v_proj"), 32)
    numbers = 2 * 32 * ((3584 + 3584) + (3584 + 512))
    assert memory.model == pytest.approx(2 * lm.num_parameters(), rel=1e-3)
    assert memory.slot == numbers * (4 * 4 + 2 * 4)
    packed = memory_of(shapes, ("q_proj", "v_proj"), 32, "nf4")
    inside = sum(p.numel() for name, p in lm.named_parameters() if ".layers." in name)
    assert memory.model - packed.model == pytest.approx(inside * (2 - 0.5625), rel=1e-2)


def test_tokens_and_then_time_are_given_up_for_slots() -> None:
    memory = Memory(model=1000, token=10, again=2, slot=100, logits=0)
    base = CONTEXT + 1000
    assert fit(base + 40960 + 900, memory) == Fit(9, 4096, False)
    assert fit(base + 10240 + 900, memory) == Fit(9, 1024, False)
    assert fit(base + 2048 + 900, memory) == Fit(9, 1024, True)
    assert fit(base + 2048, memory) == Fit(15, 256, True)
    assert fit(base, memory).slots == 0
