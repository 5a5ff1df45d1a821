"""What a step asks of a GPU, counted without one: on the meta device nothing is computed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import torch
from launches import Launches
from meta_model import model

from stages.config import AdaptConfig
from stages.models import LanguageModel
from stages.tokens import Row
from stages.training import Job, batched, norm
from stages.training.batched import BatchedTrainer
from stages.training.products import Blocks
from stages.training.varlen import has_varlen

MOST = 110  # operations per layer and step, views excluded
LENGTHS = [6, 30, 31, 44, 12, 160, 29, 90]


def run(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch, steps: int = 4) -> Any:
    """Jobs of one row each in slots of their own, before their first step."""
    monkeypatch.setattr(batched, "plain_head", lambda model: model.lm_head)
    rows = [Row(tuple(range(1, n + 1)), 0, n) for n in LENGTHS]
    config = AdaptConfig()
    job = Job((), config.rank, config.alpha, ("q_proj", "v_proj"), steps, 1e-3, 1, 0)
    plans = [
        batched._Active(i, one, [[row]] * steps)
        for i, row in enumerate(rows)
        for one in [replace(job, rows=(row,))]
    ]
    trainer = BatchedTrainer(lm, len(rows))
    trainer.varlen = has_varlen(lm.model)
    return batched._Run(lm, plans, trainer)


class OneKernel(torch.autograd.Function):
    """Stands for torch's kernel of an RMS norm, which the meta device takes apart."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.relu()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0].relu()


def step(layers: int, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    monkeypatch.setattr(norm, "_normed", lambda module, x: OneKernel.apply(x))
    made = run(model(layers), monkeypatch)
    assert made.stack.way is Blocks
    with made.stack.worn(), made._norms() as n, ThreadPoolExecutor(1) as drawer:
        assert n == 2 * layers + 1
        made._fill(drawer)
        made._step()
        with Launches() as launches:
            made._step()
    return launches.seen


def test_a_layer_of_a_step_is_few_operations_and_nothing_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    two, three = step(2, monkeypatch), step(3, monkeypatch)
    layer = three - two
    print(sum(layer.values()), layer.most_common())
    print((two - layer - layer).most_common())
    assert layer["_varlen_attn"] == layer["_varlen_attn_backward"] == 1
    assert sum(layer.values()) <= MOST


@pytest.mark.parametrize("wait", [torch.Tensor.item, torch.Tensor.nonzero, torch.Tensor.cpu])
def test_an_operation_that_waits_is_refused(wait: Any) -> None:
    with Launches(), pytest.raises((AssertionError, RuntimeError)):
        wait(torch.zeros(3, device="meta")[0])


def test_products_of_a_tiny_step_on_the_device_keep_their_shapes() -> None:
    blocks = Blocks([3, 70, 1] * 60, torch.device("meta"))
    assert (blocks.width, blocks.n_blocks) == (64, 4 * 60)
    assert Blocks([3, 70, 1], torch.device("meta")).width == 70
