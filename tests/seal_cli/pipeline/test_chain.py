"""A chain of rounds: its gains, on evaluations by hand, and when it ends."""

from pathlib import Path
from typing import Any

import pytest
from stored import publish

from seal_cli.pipeline.chain import Chain, Round
from seal_cli.pipeline.models import LocalModel
from seal_cli.pipeline.resolve import Resolver
from seal_cli.settings import Settings
from seal_cli.store.artifact import Artifact
from seal_cli.store.workspace import Workspace
from stages.config import LoopConfig, RewardConfig
from stages.records import Answer, Metric, Policy, Record, Verdict


def evaluation(store: Path, number: int, correct: list[list[bool]]) -> Artifact:
    """An evaluation by hand: per context, which of its questions were answered rightly."""
    policy = "model-0123456789abcdef" if number == 0 else f"update-{number:016x}"
    parent = None if number == 0 else "model-0123456789abcdef"
    rows: list[Record] = [
        Policy(policy, "p", parent, number, None, "rest-em" if parent else "base", None),
        Metric(
            policy, number, "import-0", "single", "self-edits", None, None, "accuracy",
            sum(sum(c) / len(c) for c in correct) / len(correct), None, None, len(correct), None, 0,
            "exact",
        ),
    ]  # fmt: skip
    for i, answers in enumerate(correct):
        for j, right in enumerate(answers):
            name = f"{number}/{i}/{j}"
            rows.append(
                Answer(name, f"c{i}", f"q{i}/{j}", policy, f"e{i}", f"a{i}", "self-edits", 0, "", 1)
            )
            rows.append(Verdict(name, f"c{i}", "exact", right, None, None))
    return publish(store, "eval", "metrics", rows, name=str(number))


CURVE = [  # accuracies of four people, two questions each: means 0.25, 0.75, 0.625, 0.75
    [[True, False], [False, False], [True, False], [False, False]],
    [[True, True], [True, False], [True, True], [True, False]],
    [[True, True], [False, False], [True, True], [True, False]],
    [[True, True], [True, False], [True, True], [True, False]],
]


@pytest.fixture
def chain(tmp_path: Path) -> Any:
    """A chain that measures the curve above and learns nothing: `chain(patience)`."""
    store = tmp_path / "store"
    resolve = Resolver(Workspace(store), Settings(None, environ={}))

    class ByHand(Chain):
        def go_on(self) -> None:
            self.extend()

        def _measure(self) -> Round:
            number = len(self.rounds)
            metrics = evaluation(store, number, CURVE[number])
            accuracy = metrics.rows(Metric)[0].value
            found = Round(number, self.writer, metrics, accuracy)
            return self._compared(found, "exact") if self.rounds else found

    def make(patience: int = 0) -> Chain:
        base = Policy("model-0123456789abcdef", "p", None, 0, None, "base", None)
        unused: Any = None
        config = LoopConfig(patience=patience)
        model = LocalModel(base, tmp_path)
        return ByHand(resolve, unused, unused, unused, model, config, reward=RewardConfig())

    return make


def run(chain: Chain) -> Chain:
    chain.begin()
    while chain.stopped is None and len(chain.rounds) < len(CURVE):
        chain.go_on()
    return chain


def test_gains_are_paired_by_context(chain: Any) -> None:
    rounds = run(chain()).rounds
    assert [one.accuracy for one in rounds] == [0.25, 0.75, 0.625, 0.75]
    first, second, third = (one.gain for one in rounds[1:])
    # All four people gained 1/2: no spread, though the accuracies themselves have some.
    assert (first.value, first.low, first.high, first.n) == (0.5, 0.5, 0.5, 4)
    assert second.value == 0.375
    # Gains 1/2, 0, 1/2, 1/2: standard error 1/8, Student's t with 3 degrees of freedom 3.182.
    assert second.low == pytest.approx(0.375 - 3.182 / 8, abs=0.01)
    assert third.value == 0.5


def test_a_step_is_over_the_best_round_before(chain: Any) -> None:
    rounds = run(chain()).rounds
    assert [one.step.value for one in rounds[1:]] == [0.5, -0.125, 0.0]


@pytest.mark.parametrize(("patience", "n_rounds"), [(0, 4), (1, 3), (2, 4)])
def test_it_ends_by_its_patience(chain: Any, patience: int, n_rounds: int) -> None:
    ended = run(chain(patience))
    assert len(ended.rounds) == n_rounds
    assert (ended.stopped is not None) is (patience > 0)
    assert ended.best.number == 1


def test_the_same_rounds_give_the_same_end(chain: Any) -> None:
    assert run(chain(1)).stopped == run(chain(1)).stopped
