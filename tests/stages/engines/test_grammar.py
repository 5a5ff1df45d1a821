"""Constrained decoding: whatever a random model would write, a self-edit that can be read."""

from typing import Any

import pytest

from stages.domains.arc import Arc
from stages.domains.arc.tool_call import parse
from stages.engines import Request
from stages.engines.transformers import TransformersEngine
from stages.models import LanguageModel

arc = Arc()


def test_every_sample_of_a_random_model_is_a_tool_call(language_model: LanguageModel) -> None:
    pytest.importorskip("xgrammar")
    requests = [
        Request("?", seed, 400, temperature=1.0, grammar=arc.grammar() if seed else None)
        for seed in range(9)
    ]
    free, *bound = TransformersEngine(language_model, 9).complete(requests)
    alone = TransformersEngine(language_model, 1).complete(requests[:1])
    assert free == alone[0]  # a row without a grammar is left alone
    assert {one.finish for one in bound} == {"stop"}
    calls = [parse(one.text) for one in bound]
    assert len({call.model_dump_json() for call in calls}) > 4
    for call in calls:
        assert call.training.num_train_epochs <= 20
        assert call.training.learning_rate <= 1e-2


def test_without_xgrammar_it_says_how_to_install_it(
    language_model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from stages.errors import ConfigError

    monkeypatch.setitem(sys.modules, "xgrammar", None)
    request: Any = Request("?", 0, 4, grammar="root ::= 'a'")
    with pytest.raises(ConfigError, match="xgrammar") as raised:
        TransformersEngine(language_model).complete([request])
    assert "pip install" in raised.value.hint
