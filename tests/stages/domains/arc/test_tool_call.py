"""Reading self-edits: well-formed ones and 10,000 others."""

import json

import pytest
from arc_made import call
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.domains.arc.tool_call import parse
from stages.errors import InvalidSelfEdit


@pytest.mark.parametrize("wrap", ["{}", "  {}\n", "```json\n{}\n```", "{} And so on.", "{}}}"])
def test_a_tool_call_is_read(wrap: str) -> None:
    found = parse(wrap.replace("{}", call(basic=True, epochs=3), 1))
    assert found.data_generation.use_basic_augmentations
    assert not found.data_generation.use_size_augmentations
    assert (found.training.num_train_epochs, found.training.learning_rate) == (3, 1e-4)


@pytest.mark.parametrize(
    "completion",
    [
        "",
        "Sure! " + call(),
        call()[:-1],
        "[" + call() + "]",
        "{" * 5000,
        "[" * 9000,
        "x" * 10_001,
        call(basic="true"),
        call(basic=1),
        call(basic=None),
        call(strategy="train"),
        call(epochs=0),
        call(epochs=-1),
        call(epochs=2.5),
        call(epochs="2"),
        call(epochs=True),
        call(learning_rate=0),
        call(learning_rate=-1e-4),
        call(learning_rate=float("nan")),
        call(learning_rate=float("inf")),
        call(learning_rate="1e-4"),
        call(learning_rate=True),
        call().replace("0.0001", "1e999"),
        call().replace("0.0001", "9" * 5000),
        call().replace('"use_size', '"use_no_size'),
        '{"data_generation": [], "training": 3}',
        "null",
        "3",
    ],
)
def test_what_is_no_tool_call(completion: str) -> None:
    with pytest.raises(InvalidSelfEdit):
        parse(completion)


wild = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
numbers = (
    st.floats()
    | st.integers()
    | st.sampled_from([10**400, -(10**400), 1e308, 5e-324, 2**63, "1e-4", None, [], {}])
)


@st.composite
def self_edits(draw: st.DrawFn) -> str:
    """Garbage; JSON of any kind; tool calls with anything in any place."""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return draw(st.text(max_size=200))
    if kind == 1:
        return json.dumps(draw(wild))
    made = json.loads(call())
    part = draw(st.sampled_from(["data_generation", "training"]))
    if kind == 2:
        made["training"]["learning_rate"] = draw(numbers)
        made["training"]["num_train_epochs"] = draw(numbers)
    else:
        key = draw(st.sampled_from([*made[part], "more"]))
        made[part][key] = draw(wild)
        if draw(st.booleans()):
            made[part] = draw(wild)
    return json.dumps(made)


@settings(max_examples=10_000)
@given(self_edits())
def test_no_self_edit_is_too_odd(completion: str) -> None:
    try:
        found = parse(completion)
    except InvalidSelfEdit:
        return
    assert type(found.training.num_train_epochs) is int
    assert found.training.num_train_epochs >= 1
    assert 0 < found.training.learning_rate < float("inf")
