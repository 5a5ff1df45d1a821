"""How much of a run is one batch: what keeps the slots busy, for a minute at the most."""

from types import SimpleNamespace
from typing import Any

import pytest

from seal_cli.pipeline.adapt import Adapting
from stages.config import AdaptConfig
from stages.training.room import Room


@pytest.mark.parametrize(
    ("rate", "batch"),
    [
        (1e9, 8),  # a tiny model: as many contexts as keep the slots busy
        (1000.0, 4),  # five adapters that read 3,000 tokens each: 15 s a context
        (1.0, 1),  # a large one: one context, though it takes four hours
    ],
)
def test_a_batch_is_a_minute_of_estimated_work_or_one_context(rate: float, batch: int) -> None:
    config = AdaptConfig(epochs=10)
    model: Any = SimpleNamespace()
    runtime: Any = SimpleNamespace(room=lambda *_, **__: Room(4, 40, rate))
    plan = Adapting(model=model, config=config).plan(runtime, 5, tokens=300)
    assert (plan.batch, plan.slots) == (batch, 4)
