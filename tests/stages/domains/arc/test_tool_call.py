"""Reading self-edits, well-formed and not; `tests/stages/test_adapt.py` has 10,000 more."""

import pytest
from arc_made import call

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
