"""Fit the offline grader to the released GPT-4.1 verdicts, and try it where it was not fitted.

    python examples/grading/fit.py SEAL/ …

Each argument is a clone of the SEAL release or a part of it. For each kind of answer (unadapted,
adapted by the passage alone, by own self-edits, by GPT-4.1's, …) points and threshold are found on
all other kinds and tried on it: these are the figures printed, beside those of the first version.
Last come the constants found on all, which `stages/grading/offline.py` should have.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from judged import KINDS, UNADAPTED, Judged, read

from stages.grading import offline, offline_1

RIDGE = 1.0
TERSE = offline.Evidence._fields.index("terse")
PARTS = 5  # of the passages, with --passages
Verdicts = np.ndarray  # one bool per answer


def main() -> None:
    """Read, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", type=Path, nargs="+")
    parser.add_argument(
        "--passages", action="store_true", help="leave a fifth of the passages out, too"
    )
    parser.add_argument(
        "--shipped", action="store_true", help="fit nothing: the constants that the grader has"
    )
    parser.add_argument(
        "--terse", type=float, default=offline.POINTS.terse, help="points of a phrase, not fitted"
    )
    given = parser.parse_args()
    answers = list(read(given.release))
    seen = evidence(answers)
    if given.shipped:
        print_figures(answers, shipped(answers), "offline-2, as it is")
        return
    verdicts = held_out(answers, seen, passages=given.passages, terse=given.terse)
    print_figures(answers, verdicts, "offline-2, on kinds left out")
    print_figures(answers, first_version(answers), "offline-1")
    print_constants(answers, seen, given.terse)


def evidence(answers: Sequence[Judged]) -> np.ndarray:
    """(answers, pieces of evidence); no number for an empty answer, which is always wrong."""
    nothing = [np.nan] * len(offline.Evidence._fields)
    return np.array(
        [
            offline.evidence(a.question, a.gold, a.answer) or nothing
            if a.answer.strip()
            else nothing
            for a in answers
        ]
    )


def fit(seen: np.ndarray, correct: np.ndarray, terse: float) -> np.ndarray:
    """Points, and last the start: logistic regression by Newton's method with a small ridge.

    The points of `terse` are given: they are for the balance of gains, see the README.
    """
    x = np.hstack([seen, np.ones((len(seen), 1))])
    ridge = np.diag([RIDGE] * seen.shape[1] + [0.0])
    points = np.zeros(x.shape[1])
    points[TERSE] = terse
    free = np.arange(x.shape[1]) != TERSE
    for _ in range(25):
        p = 1 / (1 + np.exp(-x @ points))
        slope = x.T @ (p - correct) + ridge @ points
        curve = (x.T * (p * (1 - p))) @ x + ridge
        points[free] -= np.linalg.solve(curve[np.ix_(free, free)], slope[free])
    return points


def chances(seen: np.ndarray, points: np.ndarray) -> np.ndarray:
    """How sure the points make each answer; 0 for an empty one."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(1 / (1 + np.exp(-(seen @ points[:-1] + points[-1]))))


def found_on(
    answers: Sequence[Judged], seen: np.ndarray, used: np.ndarray, terse: float
) -> tuple[np.ndarray, float]:
    """Points and threshold found on the answers that are `used`.

    The same answer to the same question counts once. The threshold is where the bias is 0 in the
    mean over the files and methods.
    """
    once = {
        (a.question, a.gold, a.answer.strip(), a.kind == UNADAPTED): i
        for i, a in enumerate(answers)
        if used[i] and a.answer.strip()
    }
    rows = sorted(once.values())
    points = fit(seen[rows], np.array([answers[i].correct for i in rows], float), terse)
    sure = chances(seen, points)
    groups = [group for group in methods(answers).values() if used[group.rows].any()]
    thresholds = np.arange(0.30, 0.60, 0.005)
    biases = [np.mean([group.bias(sure >= t) for group in groups]) for t in thresholds]
    return points, float(thresholds[np.argmin(np.abs(biases))])


def held_out(
    answers: Sequence[Judged], seen: np.ndarray, *, passages: bool, terse: float
) -> Verdicts:
    """The verdicts on each kind by what was found on the others (and on other passages)."""
    verdicts = np.zeros(len(answers), bool)
    kinds = np.array([a.kind for a in answers])
    parts = np.array([a.passage % PARTS if passages else 0 for a in answers])
    for kind in dict.fromkeys(kinds):
        for part in dict.fromkeys(parts):
            used = (kinds != kind) & ((parts != part) | (not passages))
            points, threshold = found_on(answers, seen, used, terse)
            tried = (kinds == kind) & (parts == part)
            verdicts[tried] = chances(seen, points)[tried] >= threshold
    return verdicts


def by(score: Callable[[str, str, str], float], accepted: float) -> Callable[..., Verdicts]:
    """The verdicts of a version as it is."""

    def verdicts(answers: Sequence[Judged]) -> Verdicts:
        given = [bool(a.answer.strip()) and score(a.question, a.gold, a.answer) for a in answers]
        return np.array(given) >= accepted

    return verdicts


shipped = by(offline.offline_score, offline.ACCEPTED)
first_version = by(offline_1.offline_score, 1.0)


@dataclass(frozen=True)
class Group:
    """The answers of one method in one file."""

    rows: np.ndarray
    correct: np.ndarray
    weights: np.ndarray  # every unit of a file weighs the same; they sum to 1

    def bias(self, verdicts: Verdicts) -> float:
        """Our accuracy less the judge's, in points."""
        more = verdicts[self.rows].astype(float) - self.correct
        return 100 * float(self.weights @ more)


def methods(answers: Sequence[Judged]) -> dict[tuple[str, str, str], Group]:
    """(regime, kind, file) -> its answers."""
    found = defaultdict(list)
    for i, answer in enumerate(answers):
        found[answer.regime, answer.kind, answer.file].append(i)
    groups = {}
    for key, rows in found.items():
        of_unit = Counter(answers[i].unit for i in rows)
        weights = [1 / (len(of_unit) * of_unit[answers[i].unit]) for i in rows]
        correct = np.array([answers[i].correct for i in rows])
        groups[key] = Group(np.array(rows), correct, np.array(weights))
    return groups


def agreement(groups: Sequence[Group], verdicts: Verdicts) -> tuple[float, float]:
    """Share of equal verdicts over all answers, and Cohen's kappa."""
    theirs = np.concatenate([group.correct for group in groups])
    ours = np.concatenate([verdicts[group.rows] for group in groups])
    same, yes, said = (theirs == ours).mean(), theirs.mean(), ours.mean()
    chance = yes * said + (1 - yes) * (1 - said)
    return float(same), float((same - chance) / (1 - chance))


def gains(answers: Sequence[Judged], verdicts: Verdicts) -> dict[str, tuple[float, float]]:
    """File -> the bias of its unadapted and of its adapted answers, where it has both."""
    groups = methods(answers)
    return {
        file: (groups[regime, UNADAPTED, file].bias(verdicts), adapted.bias(verdicts))
        for (regime, kind, file), adapted in groups.items()
        if kind != UNADAPTED and (regime, UNADAPTED, file) in groups
    }


def print_figures(answers: Sequence[Judged], verdicts: Verdicts, title: str) -> None:
    """Per regime and kind; then per file, what is made of its gain."""
    print(f"\n{title}\n{'':28} files answers  agree  kappa   bias    (of its files)")
    groups = methods(answers)
    for regime in ("single", "cpt"):
        for kind in KINDS:
            files = [group for (r, k, _), group in groups.items() if (r, k) == (regime, kind)]
            if not files:
                continue
            biases = [group.bias(verdicts) for group in files]
            same, kappa = agreement(files, verdicts)
            print(
                f"{regime:7} {kind:20} {len(files):5} {sum(len(f.rows) for f in files):7}  "
                f"{same:.3f}  {kappa:.3f}  {np.mean(biases):+5.2f}  "
                f"({min(biases):+.1f} to {max(biases):+.1f})"
            )
    print(f"\n{'bias of':52} unadapted  adapted     gain")
    found = gains(answers, verdicts)
    for file, (before, after) in found.items():
        print(f"{file:52} {before:+9.1f} {after:+8.1f} {after - before:+8.1f}")
    wrong = [after - before for before, after in found.values()]
    if wrong:
        print(f"gains of {len(wrong)} files: {np.mean(wrong):+.2f} in the mean, ", end="")
        print(f"at most {max(map(abs, wrong)):.1f}")


def print_constants(answers: Sequence[Judged], seen: np.ndarray, terse: float) -> None:
    """Those found on all answers."""
    points, threshold = found_on(answers, seen, np.ones(len(answers), bool), terse)
    print("\nPOINTS and START found on all answers, and ACCEPTED")
    for name, value in zip((*offline.Evidence._fields, "START"), points, strict=True):
        print(f"{name:16} {value:+.2f}")
    print(f"{'ACCEPTED':16} {threshold:.3f}")


if __name__ == "__main__":
    main()
