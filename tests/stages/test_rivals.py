"""What a user would take instead trains the same adapters, or as many steps."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from trace_model import Trace

from stages.models import LanguageModel
from stages.rivals import CarefulLoop, Trl, plain
from stages.tokens import Row
from stages.training import Job
from stages.training.reference import ReferenceTrainer

TEXTS = ["The harbour is old.", "It has a quay.", "Its light is 31 m high."]


@pytest.fixture
def jobs(tiny: Callable[..., LanguageModel], make_job: Callable[..., Job]) -> list[Job]:
    job = make_job(tiny("llama").tokenizer, TEXTS, learning_rate=1e-3, batch_size=2)
    return [replace(job, seed=seed) for seed in (1, 2)]


def test_a_careful_loop_trains_what_the_reference_trains(
    tiny: Callable[..., LanguageModel], jobs: list[Job]
) -> None:
    lm = tiny("llama")
    before = Trace(lm.model)
    found = list(CarefulLoop(lm).train(jobs))
    before.assert_unchanged(lm.model)
    for one, other in zip(found, ReferenceTrainer(lm).train(jobs), strict=True):
        assert one.n_steps == other.n_steps
        assert one.lora is not None
        assert other.lora is not None
        for name, (a, b) in other.lora.weights.items():
            x, y = one.lora.weights[name]
            assert torch.allclose(y @ x, b @ a, atol=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="TRL is not installed")
def test_trl_makes_the_same_steps_and_leaves_the_model_alone(
    tiny: Callable[..., LanguageModel], jobs: list[Job], capsys: pytest.CaptureFixture[str]
) -> None:
    lm = tiny("llama")
    before = {name: t.clone() for name, t in lm.model.state_dict().items()}
    expected = [trained.n_steps for trained in ReferenceTrainer(lm).train(jobs)]
    assert [trained.n_steps for trained in Trl(lm).train(jobs)] == expected
    assert capsys.readouterr().out == ""
    assert all(torch.equal(before[name], t) for name, t in lm.model.state_dict().items())


def test_what_is_padded_or_weighed_is_not_for_them(jobs: list[Job]) -> None:
    assert plain(jobs)
    row = jobs[0].rows[0]
    assert not plain([replace(jobs[0], rows=(replace(row, weight=2.0),))])
    assert not plain([replace(jobs[0], rows=(Row((*row.ids, 0), 0, len(row.ids)),))])
    assert not plain([jobs[0], replace(jobs[1], rank=jobs[0].rank + 1)])
