"""How far a gain by an offline grader is from the same gain by the paper's GPT-4.1 judge."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GainBias:
    """Of gains in accuracy, ours less the judge's, in points; on SQuAD's questions alone."""

    mean: float
    most: float  # the largest, whatever its sign
    measured: str


OFFLINE_1 = GainBias(3.1, 6.1, "29 evaluations of the SEAL release")
# `examples/grading/fit.py`, the table of gains on kinds left out.
OFFLINE_2 = GainBias(
    -1.2, 2.7, "10 evaluations of the SEAL release, each kind of answer by a fit to the others"
)
