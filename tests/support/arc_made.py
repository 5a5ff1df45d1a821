"""Made-up tasks and tool calls, and hypothesis' grids."""

import json
from typing import Any

from hypothesis import strategies as st

cells = st.integers(0, 9)


@st.composite
def grids(draw: st.DrawFn, largest: int = 30) -> tuple[tuple[int, ...], ...]:
    """Grids of every size up to 30x30."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    fill = draw(st.binary(min_size=height * width, max_size=height * width))
    return tuple(tuple(fill[i * width + j] % 10 for j in range(width)) for i in range(height))


def call(*, learning_rate: Any = 1e-4, epochs: Any = 2, **tools: Any) -> str:
    """A tool call; tools that are not named are off."""
    names = ("basic", "size", "chain", "repeat")
    return json.dumps(
        {
            "data_generation": {f"use_{n}_augmentations": tools.get(n, False) for n in names},
            "training": {
                "strategy": tools.get("strategy", "train_using_output_tokens"),
                "learning_rate": learning_rate,
                "num_train_epochs": epochs,
            },
        }
    )
