"""Made-up tasks and tool calls, and hypothesis' grids and self-edits."""

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


_wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
_numbers = (
    st.floats()
    | st.integers()
    | st.sampled_from(
        [1, 3, 20, 1e-2, 10**400, -(10**400), 1e308, 5e-324, 2**63, "1e-4", None, [], {}]
    )
)


@st.composite
def self_edits(draw: st.DrawFn) -> str:
    """Garbage; JSON of any kind; tool calls with anything in any place."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.text(max_size=200))
    if kind == 1:
        return json.dumps(draw(_wild))
    made = json.loads(call())
    part = draw(st.sampled_from(["data_generation", "training"]))
    if kind == 2:
        made["training"]["learning_rate"] = draw(_numbers)
        made["training"]["num_train_epochs"] = draw(_numbers)
    else:
        key = draw(st.sampled_from([*made[part], "more"]))
        made[part][key] = draw(_wild)
        if draw(st.booleans()):
            made[part] = draw(_wild)
    return json.dumps(made)
