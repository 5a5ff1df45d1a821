"""The table of `quiz.sh`: what RL gains with self-written questions, beside gold ones.

Reads lines `seed,origin,questions,round,context_id,accuracy`. Gains are after the last round less
before RL, paired by person. Intervals are 95 %: Student's t over people for the gains (each the
mean over the seeds), and a bootstrap over people for the share.
"""

import csv
import random
import statistics
import sys
from collections import defaultdict

RESAMPLES = 4000
T_975 = {59: 2.001}  # quantiles of Student's t by degrees of freedom

Gains = dict[str, float]  # person -> gain


def read() -> dict[tuple[str, int], dict[str, dict[str, dict[int, float]]]]:
    """(origin, questions) -> seed -> person -> round -> accuracy."""
    found: dict = defaultdict(lambda: defaultdict(lambda: defaultdict(dict)))
    for seed, origin, questions, turn, person, accuracy in csv.reader(sys.stdin):
        if origin != "origin":
            found[origin, int(questions)][seed][person][int(turn)] = float(accuracy)
    return found


def main() -> None:
    """Print the table."""
    found = read()
    before = found.pop(("before", 0))
    seeds = sorted(before)
    gains: dict[tuple[str, int], Gains] = {}
    arms = sorted(found, key=lambda arm: (arm[0], -arm[1]))
    print(
        "questions    | after 2 rounds, by seed             | paired gain              | of gold's"
    )
    for arm in arms:
        last, gain = [], defaultdict(list)
        for seed in seeds:
            people = found[arm][seed]
            last.append(statistics.fmean(rounds[max(rounds)] for rounds in people.values()))
            for person, rounds in people.items():
                gain[person].append(rounds[max(rounds)] - before[seed][person][0])
        gains[arm] = {person: statistics.fmean(values) for person, values in gain.items()}
        name = f"{arm[0]}, {arm[1]} each"
        by_seed = " ".join(f"{value:.3f}" for value in last)
        print(
            f"{name:12} | {by_seed:35} | {mean(gains[arm])} | {share(gains[arm], gains[arms[0]])}"
        )
    start = [statistics.fmean(r[0] for r in before[seed].values()) for seed in seeds]
    print(f"{'before RL':12} | {' '.join(f'{value:.3f}' for value in start)}")


def mean(gains: Gains) -> str:
    """The mean gain and its interval."""
    values = list(gains.values())
    quantile = T_975.get(len(values) - 1, 1.96)
    half = quantile * statistics.stdev(values) / len(values) ** 0.5
    middle = statistics.fmean(values)
    return f"{middle:+.3f} [{middle - half:+.3f}, {middle + half:+.3f}]"


def share(gains: Gains, gold: Gains) -> str:
    """Gain as a share of gold's, with its interval."""
    people, chance, drawn = list(gold), random.Random(0), []
    for _ in range(RESAMPLES):
        sample = chance.choices(people, k=len(people))
        drawn.append(sum(gains[p] for p in sample) / sum(gold[p] for p in sample))
    drawn.sort()
    low, high = drawn[int(0.025 * RESAMPLES)], drawn[int(0.975 * RESAMPLES)]
    whole = statistics.fmean(gains.values()) / statistics.fmean(gold.values())
    return f"{whole:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
