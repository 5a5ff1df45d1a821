"""Finetuning of all weights: as a plain loop does it, and gone without a trace afterwards."""

import copy
import math
from collections.abc import Callable

import pytest
import torch

from stages.models import LanguageModel
from stages.tokens import Row
from stages.training import Job
from stages.training.full import finetuned

ROWS = tuple(
    Row(tuple(range(start, start + 20)), first_target=0, n_real=20) for start in (5, 30, 60)
)


def job(**changes: object) -> Job:
    about = {
        "rows": ROWS, "rank": 1, "alpha": 1, "targets": (), "epochs": 3, "learning_rate": 1e-3,
        "batch_size": 3, "seed": 1,
    }  # fmt: skip
    return Job(**about | changes)  # type: ignore[arg-type]


@pytest.fixture
def lm(tiny: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny("llama", seed=4)


@pytest.mark.parametrize(("schedule", "warmup"), [("linear", 0), ("linear", 2), ("cosine", 2)])
def test_it_is_what_a_plain_loop_does(lm: LanguageModel, schedule: str, warmup: int) -> None:
    from transformers import get_scheduler

    other = copy.deepcopy(lm.model).requires_grad_(True)
    optimizer = torch.optim.AdamW(other.parameters(), lr=1e-3, weight_decay=0.0)
    rates = get_scheduler(schedule, optimizer, warmup, 6)
    ids = torch.tensor([row.ids for row in ROWS])
    for _ in range(6):
        other(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        rates.step()
    with finetuned(lm, job(epochs=6, schedule=schedule, warmup_steps=warmup)) as (trained, _):
        assert (trained.error, trained.n_steps) == (None, 6)
        assert trained.last_loss is not None
        assert trained.first_loss is not None
        assert trained.last_loss < trained.first_loss
        for mine, theirs in zip(lm.model.parameters(), other.parameters(), strict=True):
            assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_model_is_as_before_to_the_bit(lm: LanguageModel, dtype: torch.dtype) -> None:
    lm.model.to(dtype)
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    with finetuned(lm, job(warmup_steps=1)) as (_, originals):
        assert {p.dtype for p in lm.model.parameters()} == {dtype}
        assert not any(p.requires_grad for p in lm.model.parameters())
        changed = [p for p, t in originals.items() if not torch.equal(p, t)]
        assert len(changed) > len(originals) / 2
    after = lm.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(p.grad is None and not p.requires_grad for p in lm.model.parameters())


def test_a_loss_that_is_no_number_is_an_error_and_leaves_no_trace(lm: LanguageModel) -> None:
    before = {name: tensor.clone() for name, tensor in lm.model.state_dict().items()}
    with finetuned(lm, job(learning_rate=1.0, epochs=40)) as (trained, _):
        pass
    with torch.no_grad():
        lm.model.lm_head.weight[0, 0] = math.nan
    with finetuned(lm, job()) as (trained, _):
        assert trained.error == "loss is nan at step 1 of 3"
    lm.model.lm_head.weight.data[0, 0] = before["lm_head.weight"][0, 0]
    assert all(torch.equal(before[n], t) for n, t in lm.model.state_dict().items())
