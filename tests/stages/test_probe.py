"""A probe set: accuracies before and after, and a divergence that a hand computation gives, too."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from stages import probe as module
from stages.config import ScoreConfig
from stages.domains import knowledge
from stages.engines import Completion
from stages.exam import Examiner, mean
from stages.grading import GRADERS
from stages.models import LanguageModel
from stages.probe import Probe
from stages.records import Adapter, Context, Question
from stages.tokens import Row
from stages.training import Lora

ROWS = [Row(tuple(range(n, n + n)), first_target=0, n_real=n) for n in (9, 17, 25)]
ADAPTER = Adapter(
    "a", "e", "c", "self-edits", "s", 0, 0, "ok", None, "{}", 1, 1, 1, None, None, 0.0
)  # fmt: skip


class Knowing:
    """Answers as a model that lost one question, where it wears a LoRA."""

    def complete(self, requests: Sequence[Any], loras: Sequence[Any] = ()) -> list[Completion]:
        given = []
        for request, lora in zip(requests, loras or [None] * len(requests), strict=True):
            gold = "1871" if "Ost open" in request.prompt else "1902"
            forgot = lora is not None and "Ost" in request.prompt
            given.append(Completion("no" if forgot else gold, 1, "stop"))
        return given


@pytest.fixture
def lm(tiny: Callable[..., LanguageModel]) -> LanguageModel:
    return tiny("qwen2", seed=2)


@pytest.fixture
def lora(lm: LanguageModel, random_lora: Callable[..., Lora]) -> Lora:
    return random_lora(lm.model, ("q_proj", "v_proj"))


@pytest.fixture
def probe(
    world: list[tuple[Context, list[Question]]],
    questions: dict[str, list[Question]],
    lm: LanguageModel,
) -> Probe:
    examiner = Examiner("s", Knowing(), knowledge, GRADERS["exact"], ScoreConfig())
    return Probe([context for context, _ in world], questions, examiner, lm=lm, rows=ROWS)


def by_hand(lm: LanguageModel, lora: Lora) -> float:
    """KL(p || q) of every next token but the first, the merged model being q."""
    import copy

    from stages.training.merge import merged_state

    other = copy.deepcopy(lm.model)
    other.load_state_dict(merged_state(lm.model, lora))
    each = []
    for row in ROWS:
        ids = torch.tensor([row.ids])
        p = lm.model(input_ids=ids).logits[0, :-1].double().softmax(-1)
        q = other(input_ids=ids).logits[0, :-1].double().softmax(-1)
        each += (p * (p / q).log()).sum(-1).tolist()
    return float(sum(each) / len(each))


def test_a_lora_of_zeros_diverges_by_nothing(probe: Probe, lora: Lora) -> None:
    nothing = Lora(lora.rank, lora.alpha, {n: (a, b * 0) for n, (a, b) in lora.weights.items()})
    assert probe.divergence(nothing) == pytest.approx(0.0, abs=1e-7)
    assert probe.divergence(None) == 0.0


def test_the_divergence_is_the_one_by_hand(probe: Probe, lm: LanguageModel, lora: Lora) -> None:
    found = probe.divergence(lora)
    assert found is not None
    assert found > 0.01
    assert found == pytest.approx(by_hand(lm, lora), rel=1e-4)


def test_it_is_the_same_a_few_rows_at_a_time(
    probe: Probe, lora: Lora, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = probe.divergence(lora)
    monkeypatch.setattr(module, "MAX_LOGITS", 1)
    assert probe.divergence(lora) == pytest.approx(together)


def test_it_is_not_symmetric(probe: Probe, lm: LanguageModel, lora: Lora) -> None:
    from stages.training.attach import attached

    back = probe.kl(before=lambda: attached(lm.model, lora))
    assert back != pytest.approx(probe.divergence(lora), rel=1e-3)


def test_an_adapter_says_what_became_of_the_probe(probe: Probe, lora: Lora) -> None:
    failed = replace(ADAPTER, adapter_id="f", status="failed", reason="out")
    told, kept = probe.measured([(ADAPTER, lora), (failed, None)])
    # Ost: one of two questions right before ("1871"), none after; Vik: one of two, both times.
    assert probe.before == [0.5, 0.5]
    assert (told.probe_accuracy, told.probe_change) == (0.25, -0.25)
    assert told.probe_kl == probe.divergence(lora)
    assert kept == failed


def test_what_failed_is_no_number(probe: Probe) -> None:
    told = probe.told(ADAPTER, [None, 0.5], 0.1)
    assert (told.probe_accuracy, told.probe_change, told.probe_kl) == (None, None, 0.1)
    assert mean([]) is None
    assert mean([0.5, None]) is None


def test_without_a_token_there_is_no_divergence(probe: Probe, lora: Lora) -> None:
    assert replace(probe, rows=()).divergence(lora) is None
