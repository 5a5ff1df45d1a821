"""What `seal bench adapters` measures, on little models: records that say what they compare."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from stages.bench import adapters as bench
from stages.config import AdaptConfig
from stages.models import LanguageModel
from stages.training import adam, batched
from stages.training.batched import BatchedTrainer

SMALL = AdaptConfig(rank=2, alpha=4, epochs=1, targets="all-linear")


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    return bench.random_model("tiny")


def test_the_table_has_the_lengths_of_round_0(model: LanguageModel) -> None:
    work = bench.round0(model, AdaptConfig(), 250, 64)
    rows = [len(w.job.rows) for w in work]
    lengths = [len(row.ids) for w in work for row in w.job.rows]
    # As counted with the tokenizer itself: 8.7 rows, 67 at most, of 48.7 tokens.
    assert (len(rows), max(rows)) == (250, 67)
    assert sum(rows) / 250 == pytest.approx(8.7, abs=0.1)
    assert sum(lengths) / len(lengths) == pytest.approx(48.7, rel=0.05)
    assert work[0].job.targets == ("q_proj", "v_proj")


def test_every_method_is_measured_on_the_same_work(model: LanguageModel) -> None:
    work = bench.round0(model, SMALL, 3, 4)
    results = list(bench.measure(model, work, [2, 3], noise=True))
    assert [(r.method, r.slots) for r in results] == [
        ("one at a time", 1),
        ("eager attention", 1),
        ("careful loop", 1),
        ("paper", 1),
        ("batched", 2),
        ("batched", 3),
    ]
    for result in results:
        assert result.n_self_edits == 3
        assert result.train_seconds_per_self_edit > 0
        assert result.score_seconds_per_self_edit > 0
        assert 0 < result.floor < 1.5
        if result.method == "paper":
            assert (result.parity, result.extrapolated) == (None, True)
        else:
            assert result.parity is not None
            assert result.parity["max"] < 1e-3
            assert result.same_answers == 1
    assert results[2].parity["max"] < 1e-4  # the same adapters, by plainer code
    ratios = bench.ratios(results)
    assert ratios["speedup_over_careful_loop"] > 0
    best = min(r.seconds for r in results if r.method == "batched")
    assert ratios["speedup_over_peft"] == pytest.approx(results[0].seconds / best, abs=1e-3)
    assert ratios["speedup_over_paper"] == pytest.approx(results[3].seconds / best, abs=1e-3)


def test_a_trainer_that_is_wrong_shows_in_parity(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adam, "MAX_GRAD_NORM", 1e-9)
    work = bench.round0(model, SMALL, 2, 1)
    *_, result = bench.measure(model, work, [2], paper=False)
    assert result.parity is not None
    assert result.parity["max"] > 1e-3


@pytest.mark.parametrize("shape", bench.SHAPES)
def test_every_shape_is_a_model(shape: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bench.SHAPES, shape, bench.SHAPES[shape] | {"num_hidden_layers": 1})
        with torch.device("meta"):
            lm = bench.random_model(shape, "meta")
    assert lm.model.config.hidden_size == bench.SHAPES[shape]["hidden_size"]


def test_slots_are_kept_busy_on_the_lengths_of_750_jobs(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The paper's round: 50 passages, 5 self-edits, 3 repeats. Only the schedule runs.
    run = batched._Run
    steps = []

    def backward(self: Any) -> tuple[list[float], list[float]]:
        steps.append(len(self.active))
        return [1.0] * len(self.active), [1.0] * len(self.active)

    monkeypatch.setattr(run, "_backward", backward)
    monkeypatch.setattr(run, "_update", lambda *_: None)
    config = replace(SMALL, epochs=10, targets="q_proj", rank=1)
    jobs = [w.job for w in bench.round0(model, config, 250, 1) for _ in range(3)]
    assert len(list(BatchedTrainer(model, 64).train(jobs))) == 750
    ideal = sum(len(job.rows) * job.epochs for job in jobs) / 64
    assert ideal / len(steps) >= 0.8
