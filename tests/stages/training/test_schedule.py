"""The learning rate of every step is that of transformers' own schedules."""

import pytest
import torch

from stages.training import Job
from stages.training.schedule import SCHEDULES, learning_rate


def job(schedule: str, warmup_steps: int) -> Job:
    return Job((), 1, 1, (), 1, 2e-3, 1, 0, schedule, warmup_steps)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("steps", "warmup"), [(150, 11), (150, 0), (7, 3), (1, 0), (5, 11), (11, 11)]
)
def test_it_is_that_of_transformers(schedule: str, steps: int, warmup: int) -> None:
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2e-3)
    theirs = get_scheduler(schedule, optimizer, warmup, steps)
    for step in range(steps):
        ours = learning_rate(job(schedule, warmup), step, steps)
        assert ours == pytest.approx(theirs.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        theirs.step()


def test_it_rises_to_the_peak_and_falls() -> None:
    rates = [learning_rate(job("cosine", 11), step, 100) for step in range(100)]
    assert rates[0] == 0.0
    assert rates.index(max(rates)) == 11
    assert rates[11] == 2e-3
    assert rates[11:] == sorted(rates[11:], reverse=True)
    assert 0 < rates[-1] < 1e-5
