"""The grader has the constants of the fit; its figures hold on answers it was not fitted to."""

from pathlib import Path

import fit
import numpy as np
import pytest
from judged import KINDS, Judged, read

from stages.grading import offline
from stages.grading.bias import OFFLINE_2


@pytest.fixture(scope="session")
def answers(official: Path) -> list[Judged]:
    """Of both parts of the release that lie beside the checkout."""
    roots = [official.parent, official.parent.parent / "official-more"]
    if not roots[1].is_dir():
        pytest.skip(f"more of the released data is not at {roots[1]}")
    return list(read(roots))


@pytest.fixture(scope="session")
def seen(answers: list[Judged]) -> np.ndarray:
    return fit.evidence(answers)


@pytest.fixture(scope="session")
def verdicts(answers: list[Judged], seen: np.ndarray) -> np.ndarray:
    return fit.held_out(answers, seen, passages=False, terse=offline.POINTS.terse)


def test_every_answer_is_joined_to_its_question(answers: list[Judged]) -> None:
    """A wrong order of questions or a wrong shuffle would leave agreement at chance."""
    assert {answer.kind for answer in answers} == set(KINDS)
    verdicts = fit.shipped(answers)
    for key, group in fit.methods(answers).items():
        assert fit.agreement([group], verdicts)[0] > 0.84, key


def test_the_shipped_constants_are_those_of_the_fit(
    answers: list[Judged], seen: np.ndarray
) -> None:
    everything = np.ones(len(answers), bool)
    points, accepted = fit.found_on(answers, seen, everything, offline.POINTS.terse)
    assert points == pytest.approx([*offline.POINTS, offline.START], abs=0.0051)
    assert accepted == pytest.approx(offline.ACCEPTED)


@pytest.mark.parametrize(("regime", "least"), [("single", 0.87), ("cpt", 0.86)])
def test_figures_on_kinds_that_a_fit_has_not_seen(
    answers: list[Judged], verdicts: np.ndarray, regime: str, least: float
) -> None:
    """Agreement of each kind at least, its bias at most 3; measured: examples/grading/README.md."""
    groups = fit.methods(answers)
    for kind in KINDS:
        files = [group for (r, k, _), group in groups.items() if (r, k) == (regime, kind)]
        if files:
            assert fit.agreement(files, verdicts)[0] >= least, kind
            assert abs(np.mean([group.bias(verdicts) for group in files])) < 3.05, kind


def test_the_bias_of_gains_is_what_reports_say(answers: list[Judged], verdicts: np.ndarray) -> None:
    gains = [after - before for before, after in fit.gains(answers, verdicts).values()]
    known = OFFLINE_2
    assert len(gains) == 10
    assert np.mean(gains) == pytest.approx(known.mean, abs=0.051)
    assert max(map(abs, gains)) == pytest.approx(known.most, abs=0.051)
    assert abs(known.mean) <= 1.5
    assert known.most <= 3
